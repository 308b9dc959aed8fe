//! What is installed besides the libraries: the headers, and the texts that lead pkg-config and CMake to all of it.

/// Files of include/.
pub const HEADERS: [(&str, &str); 3] = [
    ("weft.h", include_str!("../../../include/weft.h")),
    ("weft.hpp", include_str!("../../../include/weft.hpp")),
    ("weft_api.json", include_str!("../../../include/weft_api.json")),
];

/// The shared library's file.
pub const FILE: &str = concat!("libweft.so.", env!("CARGO_PKG_VERSION"));

/// The name by which programs load it.
pub const SONAME: &str = concat!("libweft.so.", env!("CARGO_PKG_VERSION_MAJOR"));

/// Files below the folder of the libraries `libdir`, itself below the prefix.
pub fn texts(libdir: &str) -> [(&'static str, String); 3] {
    let folders = libdir.split('/').filter(|part| !part.is_empty());
    let up = folders.map(|_| "..").collect::<Vec<_>>().join("/");
    let fill = |text: &str| {
        let text = text.replace("@VERSION@", env!("CARGO_PKG_VERSION")).replace("@SONAME@", SONAME);
        text.replace("@MAJOR@", env!("CARGO_PKG_VERSION_MAJOR"))
            .replace("@LIBDIR@", libdir)
            .replace("@UP@", &up)
    };
    [
        ("pkgconfig/weft.pc", fill(PKG_CONFIG)),
        ("cmake/Weft/WeftConfig.cmake", fill(CONFIG)),
        ("cmake/Weft/WeftConfigVersion.cmake", fill(VERSION)),
    ]
}

const PKG_CONFIG: &str = "\
prefix=${pcfiledir}/../@UP@
libdir=${prefix}/@LIBDIR@
includedir=${prefix}/include

Name: weft
Description: asynchronous compute behind a C ABI
Version: @VERSION@
Libs: -L${libdir} -lweft
Libs.private: -lpthread -ldl -lm
Cflags: -I${includedir}
";

const CONFIG: &str = r#"# Weft::weft is the shared library, Weft::static the static one.
get_filename_component(_weft_prefix "${CMAKE_CURRENT_LIST_DIR}/../../@UP@" ABSOLUTE)
set(_weft_libdir "${_weft_prefix}/@LIBDIR@")

if(NOT TARGET Weft::weft)
  add_library(Weft::weft SHARED IMPORTED)
  set_target_properties(Weft::weft PROPERTIES
    IMPORTED_LOCATION "${_weft_libdir}/libweft.so.@VERSION@"
    IMPORTED_SONAME "@SONAME@"
    INTERFACE_INCLUDE_DIRECTORIES "${_weft_prefix}/include")
endif()

if(NOT TARGET Weft::static)
  add_library(Weft::static STATIC IMPORTED)
  set_target_properties(Weft::static PROPERTIES
    IMPORTED_LOCATION "${_weft_libdir}/libweft.a"
    IMPORTED_LINK_INTERFACE_LANGUAGES "C"
    INTERFACE_LINK_LIBRARIES "pthread;dl;m"
    INTERFACE_INCLUDE_DIRECTORIES "${_weft_prefix}/include")
endif()

foreach(_weft_file "libweft.so.@VERSION@" "libweft.a")
  if(NOT EXISTS "${_weft_libdir}/${_weft_file}")
    set(Weft_FOUND FALSE)
    set(Weft_NOT_FOUND_MESSAGE "${_weft_libdir}/${_weft_file} is missing: install Weft anew")
  endif()
endforeach()
unset(_weft_prefix)
unset(_weft_libdir)
unset(_weft_file)
"#;

const VERSION: &str = r#"# A later version of the same major version does for an earlier one.
set(PACKAGE_VERSION "@VERSION@")
set(PACKAGE_VERSION_COMPATIBLE FALSE)
if(NOT PACKAGE_FIND_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
elseif(PACKAGE_FIND_VERSION_MAJOR EQUAL @MAJOR@ AND NOT PACKAGE_VERSION VERSION_LESS PACKAGE_FIND_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
endif()
if(PACKAGE_FIND_VERSION VERSION_EQUAL PACKAGE_VERSION)
  set(PACKAGE_VERSION_EXACT TRUE)
endif()
if(CMAKE_SIZEOF_VOID_P AND NOT CMAKE_SIZEOF_VOID_P EQUAL 8)
  set(PACKAGE_VERSION_UNSUITABLE TRUE)
endif()
"#;
