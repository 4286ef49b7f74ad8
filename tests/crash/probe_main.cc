// crash_probe DIRECTORY STEPS: does to files what the test of the layer asks for, one character a
// step: S syncs through a copy of the descriptor, W writes one byte of 'n' at 5000 with RWF_DSYNC,
// w writes 3 sectors of 'n' (the number of writes so far) over the file "f", s syncs it, t
// truncates it to 100 bytes, c creates "new", d syncs the directory (D with fdatasync), F opens and
// closes "other" by stdio, r renames "f" to "g", u unlinks "f". Then it ends by SIGKILL.
#include <fcntl.h>
#include <signal.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdio>
#include <string>

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    const std::string directory = argv[1];
    const std::string path = directory + "/f";
    const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    const int names = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char writes = '0';
    for (const char step : std::string(argv[2])) {
        bool fine = true;
        switch (step) {
            case 'w': {
                const std::string bytes(1536, ++writes);
                fine = ::pwrite(file, bytes.data(), bytes.size(), 0) == 1536;
                break;
            }
            case 'W': {
                char byte = ++writes;
                const iovec piece{&byte, 1};
                fine = ::pwritev2(file, &piece, 1, 5000, RWF_DSYNC) == 1;
                break;
            }
            case 'S': {
                const int copy = ::fcntl(file, F_DUPFD_CLOEXEC, 0);
                fine = ::fdatasync(copy) == 0 && ::close(copy) == 0;
                break;
            }
            case 'F': {
                std::FILE* other = std::fopen((directory + "/other").c_str(), "w");
                fine = other && std::fclose(other) == 0;
                break;
            }
            case 's':
                fine = ::fdatasync(file) == 0;
                break;
            case 't':
                fine = ::ftruncate(file, 100) == 0;
                break;
            case 'c':
                fine = ::close(::open((directory + "/new").c_str(), O_RDWR | O_CREAT, 0600)) == 0;
                break;
            case 'd':
                fine = ::fsync(names) == 0;
                break;
            case 'D':
                fine = ::fdatasync(names) == 0;
                break;
            case 'r':
                fine = std::rename(path.c_str(), (directory + "/g").c_str()) == 0;
                break;
            case 'u':
                fine = ::unlink(path.c_str()) == 0;
                break;
            default:
                return 2;
        }
        if (!fine) return 1;
    }
    ::kill(::getpid(), SIGKILL);
}
