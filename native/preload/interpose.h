// How a function of ours takes the place of one of the C library: under its name, but declared apart from its header, whose
// declarations differ from version to version.
#pragma once

#define PASTE_INSTEAD_OF(name) __asm__(#name) __attribute__((visibility("default"), used))
