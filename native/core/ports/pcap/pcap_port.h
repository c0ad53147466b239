// A capture file as a source: `pcap:FILE[,speed=X|,speed=max][,loop=N]`.
//
// A reader thread fills chunks ahead, so that the forwarding thread never waits for the disk. Chunks are buffer blocks of the
// store where the pool gives some (frames can then be marked in place: the read was the only copy), else memory of the port's
// own. Frames leave in the capture's own timing (speed=1, the default), X times as fast, or as fast as they can.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/base/clock.h"
#include "core/ports/pcap/capture_reader.h"
#include "core/ports/port.h"
#include "core/store/lane.h"

namespace paste {

struct PcapOptions {
  std::string path;
  double speed = 1;    // times the capture's own; 0 = as fast as possible
  uint32_t loops = 1;  // 0 = for ever
};

// "pcap:FILE,..." into options; USAGE with the word that is wrong.
Status parse_pcap_spec(const std::string& spec, PcapOptions* options);

class PcapPort final : public Port {
 public:
  // CAPTURE when the file cannot be used. `pool` may be null; it and `clock` outlive the port.
  static Status create(const std::string& name, const std::string& spec, const Clock& clock, BufferPool* pool,
                       std::unique_ptr<PcapPort>* port);
  ~PcapPort() override;

  layout::PortKind kind() const override { return layout::kPcapPort; }
  const std::string& name() const override { return name_; }
  uint32_t frame_bytes_max() const override { return kLiveFrameBytesMax; }
  bool trusted() const override { return true; }
  bool sink() const override { return false; }
  uint32_t receive(Batch& batch, uint32_t max) override;
  void unreceive(uint32_t count) override;
  void release(const Batch& batch, std::span<const uint16_t> frames) override;
  uint32_t reserve(const Batch&, std::span<const uint16_t>) override { return 0; }
  uint32_t deliver(const Batch&, std::span<const uint16_t> frames) override;
  void cancel(const Batch&, std::span<const uint16_t>) override {}
  void notify() override {}
  int doorbell() const override { return timer_; }
  bool arm() override;
  void disarm() override {}
  void rang() override;
  bool alive() const override { return !ended_ || outstanding_ > 0; }
  const char* state() const override;

 private:
  enum ChunkState : uint32_t { kEmpty, kToFill, kFilled };
  // Passed to and fro by `state`: the owner thread has it while kEmpty or kFilled, the reader while kToFill.
  struct Chunk {
    std::atomic<uint32_t> state{kEmpty};
    BufferBlock block;
    BufferPool* pool = nullptr;
    std::vector<CaptureRecord> records;
    uint32_t oversize = 0;
    bool starts_loop = false;
    CaptureReader::End end = CaptureReader::End::kMore;
  };
  class OwnMemory;
  static constexpr uint32_t kChunks = 4;

  PcapPort(std::string name, PcapOptions options, const Clock& clock, BufferPool* pool);
  void read_ahead();
  void feed_reader();
  Chunk* current();
  void finish_current();
  bool due(const CaptureRecord& record, uint64_t now_ns, uint64_t* deadline_ns);
  bool work_waits(uint64_t* sleep_ns);
  void set_timer(uint64_t after_ns);

  std::string name_;
  PcapOptions options_;
  const Clock& clock_;
  BufferPool* pool_;
  std::unique_ptr<OwnMemory> own_memory_;
  std::unique_ptr<CaptureReader> reader_;
  int timer_ = -1;                      // the doorbell: the next frame's deadline, or the reader's "a chunk is filled"
  std::thread thread_;
  std::atomic<bool> stop_{false};
  std::atomic<uint32_t> given_{0};      // chunks given to the reader, and one more to stop it: what it sleeps on
  std::atomic<CaptureReader::End> final_{CaptureReader::End::kMore};  // for state(): set once, after state_text_
  std::string state_text_;

  Chunk chunks_[kChunks];
  uint32_t to_give_ = 0, to_take_ = 0;  // chunk numbers, modulo kChunks
  uint32_t cursor_ = 0;                 // next record of the current chunk
  uint32_t counted_ = 0;                // records before this one were counted if they were bad
  bool started_ = false;                // of the current chunk
  uint64_t base_clock_ns_ = 0, base_time_ns_ = 0;
  uint32_t last_count_ = 0;
  uint32_t last_cursor_[kBatchFrames];
  uint64_t outstanding_ = 0;            // frames received and not released
  bool ended_ = false;
};

}  // namespace paste
