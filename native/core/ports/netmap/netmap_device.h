// A port of the kernel's netmap, registered: its descriptor, its memory, its rings.
//
// The memory is the store's (EXTMEM) where the module was built with that and the store's memory can be pinned; then a
// frame that the device wrote can be marked in place. Else it is netmap's own, mapped through the descriptor.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/ports/netmap/netmap_spec.h"
#include "core/ports/port_site.h"

namespace paste {

class NetmapDevice {
 public:
  // PORT: no such interface, in use, or netmap refuses it (the message says why). RESOURCE: netmap's memory, or
  // extmem=on without the means. May block for some milliseconds.
  static Status open(const std::string& text, const NetmapSpec& spec, const PortSite& site,
                     std::unique_ptr<NetmapDevice>* device);
  ~NetmapDevice();
  // Takes the port out of netmap; the memory stays readable until the end when it is the store's.
  void close_descriptor();

  int fd() const { return fd_; }
  // Bound rings only. Host rings only where the mode asks for them: a VALE port shows one of each, which leads nowhere.
  const std::vector<netmap::Ring*>& nic_tx() const { return nic_tx_; }
  const std::vector<netmap::Ring*>& host_tx() const { return host_tx_; }
  const std::vector<netmap::Ring*>& nic_rx() const { return nic_rx_; }
  const std::vector<netmap::Ring*>& host_rx() const { return host_rx_; }

  uint8_t* buffer(uint32_t index) const { return buffers_ + uint64_t{index} * buffer_bytes_; }
  bool names_buffer(uint32_t index) const {
    return index - netmap::kReservedBuffers < buffer_count_ - netmap::kReservedBuffers;
  }
  // A chunk of store_memory() as netmap numbers it.
  uint32_t buffer_of_chunk(uint32_t chunk) const {
    return static_cast<uint32_t>((memory_ + uint64_t{chunk} * buffer_bytes_ - buffers_) / buffer_bytes_);
  }
  uint32_t buffer_bytes() const { return buffer_bytes_; }
  // The port's memory in the store: its free chunks are spare buffers. Null when the memory is netmap's own.
  FrameMemory* store_memory() const { return store_memory_.get(); }
  // A real module's descriptor; else somebody serves /dev/netmap in user space, and poll() of the descriptor itself
  // says nothing.
  bool in_kernel() const { return in_kernel_; }
  const std::string& description() const { return description_; }

 private:
  struct Pools;

  NetmapDevice(std::string text, NetmapSpec spec) : text_(std::move(text)), spec_(std::move(spec)) {}
  Status find_shared_memory();
  bool register_in_store(const PortSite& site, std::string* why_not);
  bool register_pools(const PortSite& site, const Pools& pools, std::string* why_not, int* error);
  Status register_own();
  int request(uint16_t type, void* body, netmap::Option* option = nullptr, const std::string* name = nullptr) const;
  netmap::Register registration() const;
  Status refused(int error) const;
  Status find_rings();
  bool laid_out(const uint8_t* memory, const netmap::Register& body) const;
  bool memory_lives_on();
  void hold_store_buffers();
  void describe(const std::string& why_not_store);

  const std::string text_;
  const NetmapSpec spec_;
  Devices* devices_ = nullptr;
  int fd_ = -1;
  bool in_kernel_ = false;
  uint16_t memory_id_ = 0;
  netmap::Register reply_{};
  uint8_t* memory_ = nullptr;
  uint64_t memory_bytes_ = 0;
  uint8_t* mapped_ = nullptr;     // memory_ when it came from mmap()
  std::unique_ptr<FrameMemory> store_memory_;
  uint8_t* buffers_ = nullptr;    // buffer 0
  uint32_t buffer_bytes_ = 0, buffer_count_ = 0;
  std::vector<netmap::Ring*> nic_tx_, host_tx_, nic_rx_, host_rx_;
  std::string description_;
};

}  // namespace paste
