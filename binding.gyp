{
  # native/core is the library (no napi in it); native/addon is its face to JavaScript. `-Dwith_tests=1` adds the addon of
  # the tests: the same library with the simulated persistence domain and its drivers.
  "variables": { "with_tests%": 0 },
  "target_defaults": {
    "include_dirs": ["native"],
    "cflags_cc!": ["-std=gnu++17"],
    "cflags_cc": ["-std=c++20", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-fvisibility=hidden"],
    "cflags": ["-fPIC"],
    "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_DEPRECATED", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS"],
    "libraries": ["-lpthread", "-lrt"],
  },
  "targets": [
    {
      "target_name": "core",
      "type": "static_library",
      "sources": ["<!@(node scripts/sources.mjs native/core)"],
    },
    {
      "target_name": "paste_switch",
      "dependencies": ["core"],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "sources": ["<!@(node scripts/sources.mjs native/addon native/bench)"],
    },
    {
      # Forks the broker, drops every capability, becomes the daemon.
      "target_name": "paste-switch-launcher",
      "type": "executable",
      "dependencies": ["core"],
      "sources": ["<!@(node scripts/sources.mjs native/launcher)"],
      "ldflags": ["<!@(node scripts/static-link.mjs)", "-Wl,-z,relro,-z,now"],
    },
    {
      # Serves /dev/netmap to programs that are started with it (LD_PRELOAD): of the C library alone, so that any program takes it.
      "target_name": "paste_netmap",
      "type": "shared_library",
      "product_prefix": "",
      "product_extension": "so",
      "sources": ["<!@(node scripts/sources.mjs native/preload)"],
      "ldflags": ["-static-libstdc++", "-static-libgcc", "-Wl,--as-needed", "-Wl,-z,defs,-z,relro,-z,now"],
      "libraries": ["-ldl"],
    },
    {
      # The netmap program of `paste-switch bench run`.
      "target_name": "netmap_bench",
      "type": "executable",
      "sources": ["<!@(node scripts/sources.mjs native/programs)"],
    },
  ],
  "conditions": [
    ["with_tests==1", {
      "targets": [
        {
          "target_name": "paste_switch_test",
          "dependencies": ["core"],
          "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
          "sources": ["<!@(node scripts/sources.mjs native/test)"],
        },
      ],
    }],
  ],
}
