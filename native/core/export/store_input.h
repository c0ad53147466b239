// A store's records as frames to encode: interfaces are its ports; lost records become drop counts; rule, way and outcome a comment.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "core/export/export_input.h"
#include "core/store/reader.h"

namespace paste {

class StoreInput final : public ExportInput {
 public:
  struct Words {
    bool comments = true;
    bool names = true;  // false: ports are numbered, rules and ways are not told
  };
  // `reader` was started with frames_only = false; it outlives this.
  StoreInput(Reader& reader, uint32_t number, std::string description, Words words)
      : ExportInput(number, std::move(description)), reader_(reader), words_(words) {}

  Head head(FrameToEncode* frame) override;
  void advance() override {
    ++at_;
    ready_ = false;
  }
  void look_again() override { more_ = true; }
  Status interface_of_head(CaptureEncoder& encoder, EncodedBytes* out, uint32_t* interface) override;
  uint64_t lost() const override { return lost_; }
  Status status() const override { return reader_.status(); }
  void limit_batch(uint32_t bytes) override { batch_bytes_ = bytes; }

 private:
  struct Port {
    std::string name;
    uint32_t queue = FrameToEncode::kNoQueue;
    uint32_t file = ~0u, interface = 0;  // its number, in that file
  };

  void take_event(const ReadRecord& record, const layout::RecordHeader& header);
  void fill(const ReadRecord& record, const layout::RecordHeader& header);
  Port& port_of(uint32_t id);
  const std::string& comment_of(const layout::RecordHeader& header);
  std::string comment_text(const layout::RecordHeader& header);

  Reader& reader_;
  Words words_;
  ReadBatch batch_;
  size_t at_ = 0;  // in the batch
  uint32_t batch_bytes_ = 1u << 20;
  bool more_ = true;
  bool ready_ = false;
  FrameToEncode frame_;
  Port* port_ = nullptr;  // of the head
  uint32_t port_id_ = 0;
  uint64_t lost_ = 0;
  std::unordered_map<uint32_t, uint64_t> pending_lost_;  // by port id; 0 = of any port
  std::unordered_map<uint32_t, Port> ports_;
  // By what they are made of; most frames have the comment of one before.
  struct CommentKey {
    uint64_t way = 0;  // rule and egress
    uint32_t rest = ~0u;
    bool operator==(const CommentKey&) const = default;
  };
  struct CommentHash {
    size_t operator()(const CommentKey& key) const { return key.way * 0x9e3779b97f4a7c15u ^ key.rest; }
  };
  std::unordered_map<CommentKey, std::string, CommentHash> comments_;
  CommentKey comment_key_;
  const std::string* comment_ = nullptr;
};

}  // namespace paste
