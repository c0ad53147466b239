// What the addon computes for queries (native/addon/query_binding.cc).
import { loadAddon } from "./load.js";

interface QueryAddon {
  communityId(frame: Uint8Array): string | undefined;
}

const addon = () => loadAddon("paste_switch") as unknown as QueryAddon;

/** "1:LQU9qZlK+B5F3KDmev6m5PMibrg=", version 1 with seed 0; undefined where a frame has none (native/core/store/community_id.h). */
export function communityId(frame: Uint8Array): string | undefined {
  return addon().communityId(frame);
}
