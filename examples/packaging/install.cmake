# Where `cmake --install` puts things: where Debian would. tanist.so lies in the library directory
# itself, so that load_extension('tanist') and LD_PRELOAD=tanist.so find it by name;
# tanist-ship.so must lie beside it.
if(CMAKE_LIBRARY_ARCHITECTURE)
  set(CMAKE_INSTALL_LIBDIR lib/${CMAKE_LIBRARY_ARCHITECTURE} CACHE PATH "libraries")
endif()
include(GNUInstallDirs)

install(TARGETS tanistd tanist RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS tanist_so tanist_ship_so LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})

# The unit names tanistd without a directory: systemd looks in /usr/local and in /usr.
install(FILES ${CMAKE_CURRENT_LIST_DIR}/tanistd@.service DESTINATION lib/systemd/system)
install(FILES ${CMAKE_CURRENT_LIST_DIR}/tanist.sysusers DESTINATION lib/sysusers.d
        RENAME tanist.conf)

# The manual pages say what --help says.
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/packaging)
set(pages)
foreach(page tanistd.8 tanist.1)
  get_filename_component(program ${page} NAME_WE)
  set(output ${CMAKE_BINARY_DIR}/packaging/${page})
  add_custom_command(
    OUTPUT ${output}
    COMMAND ${CMAKE_CURRENT_LIST_DIR}/manual_page $<TARGET_FILE:${program}> ${page} > ${output}
    DEPENDS ${program} ${CMAKE_CURRENT_LIST_DIR}/manual_page
    VERBATIM)
  list(APPEND pages ${output})
endforeach()
add_custom_target(manual ALL DEPENDS ${pages})
install(FILES ${CMAKE_BINARY_DIR}/packaging/tanist.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${CMAKE_BINARY_DIR}/packaging/tanistd.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)

install(FILES README.md LICENSE CHANGELOG.md ${CMAKE_CURRENT_LIST_DIR}/example.toml
        DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES docs/operations.md docs/architecture.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "The Tanist authors <tanist@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "live replicas of unmodified SQLite applications")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION database)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_CURRENT_LIST_DIR}/postinst)
include(CPack)
