// An open file of /dev/netmap: a connection to the daemon, and after REGISTER the memory, rings and doorbell of an attachment.
//
// The program's descriptor *is* the connection (a socket), so that fork, dup, SCM_RIGHTS and exec carry it as they carry a
// netmap descriptor. Everything else is ours alone: a duplicate of the connection, the memory, the doorbell.
#pragma once

#include <atomic>
#include <cstdint>
#include <sys/un.h>

#include "core/ports/netmap_abi.h"
#include "core/ports/vale/ports_protocol.h"
#include "preload/lock.h"
#include "preload/object.h"

namespace paste::preload {

inline constexpr uint32_t kRingsMax = 256;     // per direction, as in netmap
inline constexpr uint32_t kWaitersMax = 16;    // threads that sleep on one file and can be woken one by one

struct Waker {                                 // of one sleeping thread
  std::atomic<int> fd{-1};                     // an eventfd
  std::atomic<bool> taken{false};
};

// A ring as this library sees it. What is read from the memory is checked against these copies: the program may have
// written anything there.
struct RingView {
  netmap::Ring* ring;
  netmap::RingSync* sync;
  netmap::Slot* slot;
  uint8_t* buffers;
  uint32_t slots;
  uint32_t buffer_bytes;
  uint32_t buffer_count;
  // Pipes: the ring at the other end.
  netmap::Ring* peer;
  netmap::RingSync* peer_sync;
};

struct NetmapFile : Object {
  enum class State : uint8_t {
    kFresh,      // no connection yet, or one without an attachment
    kUp,
    kLost,       // the daemon went away: coming back is tried by the next calls
    kDetached,   // on purpose: for good
  };

  Lock lock;                          // guards everything below but the atomics
  std::atomic<State> state{State::kFresh};
  std::atomic<bool> shared{false};    // with another process, which may take what rings
  std::atomic<int> doorbell{-1};
  std::atomic<int> connection{-1};    // a duplicate of what the program has; not connected before the first request
  bool connected = false;
  bool error_told = false;            // POLLERR has said that the daemon went away
  int64_t lost_ns = 0;                // since when
  int64_t retry_ns = 0;               // not before
  uint32_t idle_syncs = 0;            // since the daemon last showed that it is there

  int memory_fd = -1;
  uint8_t* memory = nullptr;
  uint64_t memory_bytes = 0;
  uint16_t api = netmap::kApi;
  char name[ports_protocol::kNameBytes] = {};
  uint8_t token[ports_protocol::kTokenBytes] = {};
  netmap::Register registered = {};   // as the daemon answered
  bool pipe = false;
  uint32_t tx_count = 0, rx_count = 0;  // rings bound to this file
  RingView tx[kRingsMax], rx[kRingsMax];

  std::atomic<uint32_t> tx_sleepers{0}, rx_sleepers{0};  // threads that wait for room, for frames
  std::atomic<Waker*> waiters[kWaitersMax] = {};
};

// --- netmap_file.cc ---------------------------------------------------------------------------------------------------------

// A file behind a new descriptor; -1 with errno.
int open_netmap(bool close_on_exec);
// The file behind a descriptor that came from another process, by exec or in a message, held; null when it is none of ours.
NetmapFile* adopt_descriptor(int fd);
// Where the daemon is, from the environment; an empty path when that does not say.
const sockaddr_un& daemon_address();
// Waits, not for long, until the daemon has taken what was published.
void linger(NetmapFile& file);
// The program's fork(): what is shared now, and in the child what threads that are not there any more had locked.
void before_fork();
void after_fork_in_child();
// In a child of vfork(), whose memory is its parent's: what it does with descriptors must not be noted there.
bool in_borrowed_memory();

// --- connection.cc ----------------------------------------------------------------------------------------------------------

// Sends one request and waits for its answer: 0 or an errno. REGISTER brings descriptors: taken when `descriptors` is given.
// With the lock held.
struct Descriptors {
  int memory = -1, doorbell = -1;
};
int ask(NetmapFile& file, const ports_protocol::Request& request, ports_protocol::Reply* reply, Descriptors* descriptors,
        int offered = -1);
// REGISTER, answered by *reg; 0 or an errno. With the lock held.
int register_port(NetmapFile& file, const char* name, uint16_t api, netmap::Register* reg);
// The doorbell or the connection said something: reads it, notices an end, wakes other threads that sleep on the file.
void look(NetmapFile& file, const Waker* mine);
// What the doorbell and the connection say, without waking others. With the lock held.
void read_doorbell(NetmapFile& file);
// Tries to come back when the daemon went away, no more often than is good. With the lock held. True: the file is up.
bool come_back(NetmapFile& file);
// Asks once more for what the connection registered, in a process that came to hold it.
void attach_again(NetmapFile& file);

// --- memory.cc --------------------------------------------------------------------------------------------------------------

// The program's mmap(): the memory of the attachment, or MAP_FAILED with errno.
void* map_netmap(NetmapFile& file, void* address, size_t bytes, int protection, int flags, int64_t offset);
// Maps `bytes` of the memory behind `fd`, which stays the caller's, in the place of what was there before.
bool take_memory(NetmapFile& file, int fd, uint64_t bytes);
void drop_memory(NetmapFile& file);

// --- rings.cc ---------------------------------------------------------------------------------------------------------------

// Fills tx and rx from the memory; false when the daemon's description of it makes no sense.
bool find_rings(NetmapFile& file);
// As netmap's txsync and rxsync of all rings: true unless a ring held rubbish. With the lock held.
bool sync_tx(NetmapFile& file);
bool sync_rx(NetmapFile& file);
// poll()'s part: what of `events` is ready now. Takes the lock.
short ready_events(NetmapFile& file, short events);
// Before sleeping for `events`: asks to be rung, then looks once more. True when there is something to do already.
bool arm(NetmapFile& file, short events);
void disarm(NetmapFile& file, short events);

}  // namespace paste::preload
