// The command line: options of every command, and nothing else. This is the only file with CLI11.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <string_view>

#include "failover/commands.h"
#include "failover/output.h"

namespace tanist {
namespace {

constexpr const char* kExitCodes =
    "\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 refused for safety, 4 unreachable, 5 data "
    "differs.";

// What to do once the whole line is understood.
using Chosen = std::function<int()>;

struct Options {
    InitOptions init;
    MembersOptions members;
    KeysOptions keys;
    StatusOptions status;
    DoctorOptions doctor;
    LogCommandOptions log;
    FenceOptions fence;
    PromoteOptions promote;
    PauseOptions pause;
    DivergedOptions diverged;
    RecoverOptions recover;
    SwitchoverOptions switchover;
    TokenOptions token;
};

void finish_command(CLI::App& command, const char* examples, bool& json) {
    command.add_flag("--json", json, "print one JSON value instead of text");
    command.footer(std::string("\nExamples:\n") + examples + kExitCodes);
}

void finish_group(CLI::App& group, const char* examples) {
    group.footer(std::string("\nExamples:\n") + examples + kExitCodes);
}

// Whoever asked for JSON gets it although the line was not understood.
int wrong_usage(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
    const bool asked = error.get_exit_code() == 0;  // --help, --version
    const bool json = std::any_of(
        argv, argv + argc, [](const char* word) { return std::string_view(word) == "--json"; });
    if (!asked && json) return print_error({Errc::invalid, error.what()}, true, kExitUsage);
    return app.exit(error) == 0 ? kExitDone : kExitUsage;
}

void define_init(CLI::App& app, InitOptions& options, Chosen& chosen) {
    CLI::App* command = app.add_subcommand(
        "init", "Make a database the primary of a new cluster (in WAL mode, if it is not yet)");
    command->add_option("database", options.db, "the database")->required();
    command->add_flag("--create", options.create, "make the database when it does not exist");
    finish_command(*command, "  tanist init app.db\n", options.json);
    command->callback([&] { chosen = [&] { return run_init(options); }; });
}

// What commands a daemon: on its own machine by its database, from elsewhere by its address.
void add_target(CLI::App& command, const char* help, std::string& target, std::string& as) {
    command.add_option("database", target, std::string(help) + ", or a node's tanist:// address")
        ->required();
    command.add_option("--as", as, "with an address: the directory of an operator's key")
        ->type_name("DIR");
}

void define_members(CLI::App& app, MembersOptions& options, Chosen& chosen) {
    CLI::App* group = app.add_subcommand("members", "Who belongs to the cluster of a primary");
    group->require_subcommand(1);
    finish_group(*group, "  tanist members add app.db tcp://127.0.0.1:7401\n");
    CLI::App* list = group->add_subcommand("list", "Show the members");
    add_target(*list, "the primary's database", options.target, options.as);
    finish_command(*list, "  tanist members list app.db\n", options.json);
    list->callback([&] { chosen = [&] { return run_members_list(options); }; });

    CLI::App* add = group->add_subcommand("add", "Let the primary replicate to a daemon");
    add_target(*add, "the primary's database", options.target, options.as);
    add->add_option("endpoint", options.node,
                    "where its tanistd listens, or the tanist:// address that it printed; with "
                    "--operator, a key")
        ->required();
    add->add_option("--name", options.name, "a name; host:port otherwise");
    add->add_flag("--may-lead", options.may_lead,
                  "with a tanist:// address: its key may lead the cluster, so it can be promoted");
    add->add_flag("--witness", options.witness, "it votes and holds no data (tanistd --witness)");
    add->add_flag("--operator", options.is_operator,
                  "the key of a person, who may command the nodes of the cluster");
    finish_command(*add,
                   "  tanist members add app.db tcp://127.0.0.1:7401\n"
                   "  tanist members add app.db ipc:///run/tanist/b.sock --name b\n"
                   "  tanist members add app.db 'tanist://KEY@HOST:7400?invite=SECRET'\n"
                   "  tanist members add app.db KEY --operator --name anna\n",
                   options.json);
    add->callback([&] { chosen = [&] { return run_members_add(options); }; });

    CLI::App* allow = group->add_subcommand(
        "allow-lead", "Give a member's key the rights of a primary, so that it can be promoted");
    add_target(*allow, "the primary's database", options.target, options.as);
    allow->add_option("node", options.node, "its name or endpoint")->required();
    finish_command(*allow, "  tanist members allow-lead app.db b\n", options.json);
    allow->callback([&] { chosen = [&] { return run_members_allow_lead(options); }; });

    CLI::App* remove = group->add_subcommand("remove", "Stop replicating to a daemon");
    add_target(*remove, "the primary's database", options.target, options.as);
    remove->add_option("node", options.node, "its name or endpoint")->required();
    finish_command(*remove, "  tanist members remove app.db 127.0.0.1:7401\n", options.json);
    remove->callback([&] { chosen = [&] { return run_members_remove(options); }; });
}

void define_keys(CLI::App& app, KeysOptions& options, Chosen& chosen) {
    CLI::App* group = app.add_subcommand("keys", "The key of a node, and those that it knows");
    group->require_subcommand(1);
    finish_group(*group, "  tanist keys show app.db\n");
    CLI::App* show = group->add_subcommand("show", "Public keys and rights; never a secret");
    show->add_option("database", options.db, "its database; the only one here otherwise");
    show->add_flag("--clear-alarm", options.clear_alarm, "the alarm has been seen to");
    finish_command(*show, "  tanist keys show app.db\n  tanist keys show replica.db --json\n",
                   options.json);
    show->callback([&] { chosen = [&] { return run_keys_show(options); }; });

    CLI::App* make = group->add_subcommand("make", "A key for a person who commands nodes");
    make->add_option("directory", options.directory, "where it goes; only you may enter it")
        ->required();
    finish_command(*make, "  tanist keys make ~/.tanist\n", options.json);
    make->callback([&] { chosen = [&] { return run_keys_make(options); }; });

    CLI::App* rotate = group->add_subcommand(
        "rotate", "A new key for this node, announced to its cluster under the old one");
    rotate->add_option("database", options.db, "its database; the only one here otherwise");
    finish_command(*rotate, "  tanist keys rotate app.db\n", options.json);
    rotate->callback([&] { chosen = [&] { return run_keys_rotate(options); }; });
}

void define_status(CLI::App& app, StatusOptions& options, Chosen& chosen) {
    CLI::App* command =
        app.add_subcommand("status", "Role, position, replicas, lag, and what would be lost now");
    command
        ->add_option("target", options.target,
                     "a database, or the endpoint or tanist:// address of a tanistd")
        ->required();
    command->add_option(
        "--as", options.as,
        "with an address: the directory of an operator's key, or a member's database");
    command->add_flag("--watch", options.watch, "again each second, until interrupted");
    finish_command(*command,
                   "  tanist status app.db\n"
                   "  tanist status tcp://127.0.0.1:7401 --json\n"
                   "  tanist status tanist://KEY@HOST:7400 --as app.db\n"
                   "  tanist status app.db --watch\n",
                   options.json);
    command->callback([&] { chosen = [&] { return run_status(options); }; });
}

void define_doctor(CLI::App& app, DoctorOptions& options, Chosen& chosen) {
    CLI::App* command = app.add_subcommand(
        "doctor", "Look for everything that could make replication of a database unsafe");
    command->add_option("database", options.db, "the database")->required();
    finish_command(*command, "  tanist doctor app.db\n  tanist doctor app.db --json\n",
                   options.json);
    command->callback([&] { chosen = [&] { return run_doctor(options); }; });
}

void define_fence(CLI::App& app, FenceOptions& options, Chosen& chosen) {
    CLI::App* fence =
        app.add_subcommand("fence", "Refuse writes to a primary's database here, from now on");
    add_target(*fence, "the database", options.target, options.as);
    finish_command(*fence,
                   "  tanist fence app.db\n"
                   "  tanist fence tanist://KEY@HOST:7400 --as ~/.tanist\n",
                   options.json);
    fence->callback([&] { chosen = [&] { return run_fence(options); }; });
    CLI::App* unfence = app.add_subcommand("unfence", "Let a fenced primary take writes again");
    add_target(*unfence, "the database", options.target, options.as);
    finish_command(*unfence, "  tanist unfence app.db\n", options.json);
    unfence->callback([&] { chosen = [&] { return run_unfence(options); }; });
}

void define_promote(CLI::App& app, PromoteOptions& options, Chosen& chosen) {
    CLI::App* command = app.add_subcommand(
        "promote", "Make a replica the primary, when the old one is gone; shows the plan first");
    add_target(*command, "the replica's database, on its machine", options.target, options.as);
    command->add_flag("--dry-run", options.dry_run, "show the plan and do nothing");
    command->add_flag("--force", options.force, "although the plan says that it is not safe");
    command->add_flag("--accept-loss", options.accept_loss, "commits may be lost (with --force)");
    command
        ->add_option("--assert-fenced", options.assert_fenced,
                     "your word that this old primary is dead and stays so")
        ->type_name("NODE");
    command->add_flag("--yes", options.yes, "do not ask");
    finish_command(*command,
                   "  tanist promote replica.db --dry-run\n"
                   "  tanist promote replica.db --yes\n"
                   "  tanist promote replica.db --force --accept-loss --assert-fenced old-host\n",
                   options.json);
    command->callback([&] { chosen = [&] { return run_promote(options); }; });
}

void define_recover(CLI::App& app, RecoverOptions& options, Chosen& chosen) {
    CLI::App* command = app.add_subcommand("recover",
                                           "Let a voter count again whose log may lack what it had "
                                           "acknowledged, or that does not know "
                                           "what it promised; shows the plan first");
    add_target(*command, "that node's database, on its machine", options.target, options.as);
    command->add_flag("--accept-suspect", options.accept_suspect,
                      "your word: nobody has more, and what is missing is lost");
    command->add_flag("--dry-run", options.dry_run, "show the plan and do nothing");
    command->add_flag("--yes", options.yes, "do not ask");
    finish_command(*command,
                   "  tanist recover replica.db --dry-run\n"
                   "  tanist recover replica.db --accept-suspect\n",
                   options.json);
    command->callback([&] { chosen = [&] { return run_recover(options); }; });
}

void define_switchover(CLI::App& app, SwitchoverOptions& options, Chosen& chosen) {
    CLI::App* command = app.add_subcommand(
        "switchover",
        "Make a member the primary, planned and without loss; writers wait meanwhile");
    add_target(*command, "the primary's database, on its machine", options.target, options.as);
    command->add_option("--to", options.to, "a member: its name or endpoint")
        ->required()
        ->type_name("NODE");
    command->add_flag("--dry-run", options.dry_run, "say whether it could begin, and do nothing");
    finish_command(*command, "  tanist switchover app.db --to b\n", options.json);
    command->callback([&] { chosen = [&] { return run_switchover(options); }; });
}

void define_pause(CLI::App& app, PauseOptions& options, Chosen& chosen) {
    CLI::App* pause =
        app.add_subcommand("pause", "No automatic failover in this group, until `tanist resume`");
    add_target(*pause, "the primary's database", options.target, options.as);
    finish_command(*pause, "  tanist pause app.db\n", options.json);
    pause->callback([&] { chosen = [&] { return run_pause(options); }; });
    CLI::App* resume = app.add_subcommand("resume", "Automatic failover again, after a pause");
    add_target(*resume, "the primary's database", options.target, options.as);
    finish_command(*resume, "  tanist resume app.db\n", options.json);
    resume->callback([&] { chosen = [&] { return run_resume(options); }; });
}

void define_diverged(CLI::App& app, DivergedOptions& options, Chosen& chosen) {
    CLI::App* group = app.add_subcommand(
        "diverged", "Commits that a failover discarded, as this node saved them");
    group->require_subcommand(1);
    group->footer(kExitCodes);
    CLI::App* list = group->add_subcommand("list", "Show what is saved");
    list->add_option("database", options.db, "the node's database")->required();
    finish_command(*list, "  tanist diverged list app.db\n", options.json);
    list->callback([&] { chosen = [&] { return run_diverged_list(options); }; });

    CLI::App* show = group->add_subcommand("show", "One line for each commit of one of them");
    show->add_option("database", options.db, "the node's database")->required();
    show->add_option("name", options.name, "as list shows it")->required();
    finish_command(*show, "  tanist diverged show app.db 1-104512\n", options.json);
    show->callback([&] { chosen = [&] { return run_diverged_show(options); }; });

    CLI::App* write = group->add_subcommand("export", "Write one of them into a SQLite database");
    write->add_option("database", options.db, "the node's database")->required();
    write->add_option("name", options.name, "as list shows it")->required();
    write->add_option("out", options.out, "the database to write; must not exist")->required();
    finish_command(*write, "  tanist diverged export app.db 1-104512 lost.db\n", options.json);
    write->callback([&] { chosen = [&] { return run_diverged_export(options); }; });
}

void define_token(CLI::App& app, TokenOptions& options, Chosen& chosen) {
    CLI::App* group = app.add_subcommand(
        "token", "The certificate by which a node is the primary of its epoch; works offline");
    group->require_subcommand(1);
    finish_group(*group, "  tanist token show app.db\n");
    CLI::App* show = group->add_subcommand("show", "Who holds which epoch, and who granted it");
    show->add_option("token", options.token, "a token file, or a database")->required();
    finish_command(*show, "  tanist token show app.db\n  tanist token show /tmp/token --json\n",
                   options.json);
    show->callback([&] { chosen = [&] { return run_token_show(options); }; });

    CLI::App* verify = group->add_subcommand(
        "verify", "Check every signature and the quorum; 3 when the token is not valid");
    verify->add_option("token", options.token, "a token file, or a database")->required();
    verify
        ->add_option("--members", options.members,
                     "by which voters: a node's ballot file or database")
        ->type_name("PATH");
    finish_command(*verify,
                   "  tanist token verify app.db\n"
                   "  tanist token verify /tmp/token --members app.db\n",
                   options.json);
    verify->callback([&] { chosen = [&] { return run_token_verify(options); }; });
}

void define_log(CLI::App& app, LogCommandOptions& options, Chosen& chosen) {
    CLI::App* group = app.add_subcommand("log", "Look into a replication log");
    group->require_subcommand(1);
    finish_group(*group, "  tanist log verify app.db\n");
    struct Verb {
        const char* name;
        const char* help;
        const char* example;
        int (*run)(const LogCommandOptions&);
    };
    static constexpr Verb kVerbs[] = {
        {"dump", "One line for each record", "  tanist log dump app.db-tanist/log\n", run_log_dump},
        {"verify", "Check every byte of every record",
         "  tanist log verify app.db-tanist/log\n  tanist log verify app.db\n", run_log_verify},
        {"stat", "Size and positions", "  tanist log stat app.db --json\n", run_log_stat},
    };
    for (const Verb& verb : kVerbs) {
        CLI::App* command = group->add_subcommand(verb.name, verb.help);
        command->add_option("directory", options.directory, "a log directory, or its database")
            ->required();
        command->add_option(
            "--key-file", options.key_file,
            "key of a log that is encrypted at rest (default: as its settings say)");
        finish_command(*command, verb.example, options.json);
        command->callback([&, work = verb.run] { chosen = [&, work] { return work(options); }; });
    }
}

int run(int argc, char** argv) {
    CLI::App app("Tanist: live replicas of unmodified SQLite applications.", "tanist");
    Options options;
    Chosen chosen;
    app.require_subcommand(1);
    app.set_version_flag("--version", std::string("tanist ") + TANIST_VERSION);
    define_init(app, options.init, chosen);
    define_members(app, options.members, chosen);
    define_keys(app, options.keys, chosen);
    define_status(app, options.status, chosen);
    define_doctor(app, options.doctor, chosen);
    define_log(app, options.log, chosen);
    define_fence(app, options.fence, chosen);
    define_promote(app, options.promote, chosen);
    define_recover(app, options.recover, chosen);
    define_switchover(app, options.switchover, chosen);
    define_pause(app, options.pause, chosen);
    define_diverged(app, options.diverged, chosen);
    define_token(app, options.token, chosen);
    app.footer(std::string("\nExamples:\n"
                           "  tanistd --db replica.db --listen tcp://127.0.0.1:7401\n"
                           "  tanist init app.db\n"
                           "  tanist members add app.db tcp://127.0.0.1:7401\n"
                           "  tanist status app.db\n") +
               kExitCodes);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return wrong_usage(app, error, argc, argv);
    }
    return chosen();
}

}  // namespace
}  // namespace tanist

int main(int argc, char** argv) { return tanist::run(argc, argv); }
