#include "core/export/exporter.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>

#include "core/export/time_merge.h"

namespace paste {
namespace {

// Looks at a store that found nothing are counted: where hardly a frame is wanted, whoever called still gets a turn.
constexpr uint32_t kLooksMax = 2;
// A batch lies in the L2 cache while it is encoded.
constexpr uint32_t kBatchBytesMin = 64u << 10, kBatchBytesMax = 256u << 10;
// And so does what was encoded until it is written.
constexpr uint32_t kPartBytes = 256u << 10;

// 0, or errno.
int write_all(int descriptor, const EncodedBytes& bytes, uint64_t position) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t count = pwrite(descriptor, bytes.data() + done, bytes.size() - done, static_cast<off_t>(position + done));
    if (count < 0 && errno != EINTR) return errno;
    if (count > 0) done += static_cast<size_t>(count);
  }
  return 0;
}

}  // namespace

Status Exporter::next(EncodedBytes* out, uint32_t bytes_max, uint64_t frames_max, Piece* piece) {
  const uint32_t batch_bytes = std::clamp(bytes_max / std::max(1u, inputs()), kBatchBytesMin, kBatchBytesMax);
  for (Input& each : inputs_) {
    each.input->limit_batch(batch_bytes);
    if (each.head != Head::kEnd) continue;
    each.input->look_again();
    each.head = Head::kSearching;
  }
  *piece = Piece{};
  for (uint32_t looks = 0; looks < kLooksMax && out->size() < bytes_max && piece->frames < frames_max;) {
    uint64_t until_ns = 0;
    bool searching = false;
    Input* const input = choose(&until_ns, piece, &searching);
    for (const Input& each : inputs_)
      if (Status status = each.input->status(); !status.ok()) return status;
    if (!input) {
      if (!searching) return Status();  // hungry, or at the end
      ++looks;
      continue;
    }
    do {
      piece->split = encoder_.splits_before(input->frame.time_ns);
      if (piece->split != Split::kNone) {
        next_time_ns_ = input->frame.time_ns;
        encoder_.finish(out);
        piece->next = Next::kSplit;
        return Status();
      }
      if (piece->frames++ == 0) piece->first_ns = input->frame.time_ns;
      if (Status status = encode(*input, out); !status.ok()) return status;
      input->input->advance();
      input->head = input->input->head(&input->frame);
    } while (input->head == Head::kFrame && input->frame.time_ns <= until_ns && out->size() < bytes_max && piece->frames < frames_max);
  }
  return Status();
}

Status Exporter::write(int descriptor, uint64_t position, uint64_t bytes_max, uint64_t frames_max, Piece* piece) {
  *piece = Piece{};
  do {
    Piece part;
    part_.clear();
    if (Status status = next(&part_, kPartBytes, frames_max - piece->frames, &part); !status.ok()) return status;
    piece->error = write_all(descriptor, part_, position + piece->written);
    if (piece->error != 0) return Status();
    if (piece->frames > 0) part.first_ns = piece->first_ns;
    part.frames += piece->frames;
    part.written = piece->written + part_.size();
    *piece = part;
    // A part that is not full was long looked for.
  } while (piece->next == Next::kMore && part_.size() >= kPartBytes && piece->written < bytes_max && piece->frames < frames_max);
  return Status();
}

// False where the head of an input that could come next is not known.
bool Exporter::refresh(Input& input, Piece* piece, bool* searching) {
  if (input.head == Head::kSearching || input.head == Head::kHungry) input.head = input.input->head(&input.frame);
  if (input.head == Head::kHungry) {
    piece->next = Next::kHungry;
    piece->hungry = static_cast<uint32_t>(&input - inputs_.data());
  }
  if (input.head == Head::kSearching) *searching = true;
  return input.head == Head::kFrame || input.head == Head::kEnd;
}

Exporter::Input* Exporter::choose(uint64_t* until_ns, Piece* piece, bool* searching) {
  TimeTurn turn;
  bool known = true;
  *until_ns = ~0ull;
  for (Input& each : inputs_) {
    known &= refresh(each, piece, searching);
    if (!known && piece->next == Next::kHungry) {
      *searching = false;
      return nullptr;
    }
    if (!by_time_ && each.head != Head::kEnd) return each.head == Head::kFrame ? &each : nullptr;
    if (each.head == Head::kFrame) turn.offer(static_cast<size_t>(&each - inputs_.data()), each.frame.time_ns);
  }
  if (!known) return nullptr;
  if (turn.source() == TimeTurn::kNobody) {
    piece->next = Next::kEnd;
    return nullptr;
  }
  *until_ns = turn.until_ns();
  return &inputs_[turn.source()];
}

Status Exporter::encode(Input& input, EncodedBytes* out) {
  FrameToEncode& frame = input.frame;
  if (Status status = input.input->interface_of_head(encoder_, out, &frame.interface); !status.ok()) return status;
  if (sanitizer_) {
    frame.length = sanitizer_->apply(frame.bytes, frame.length);
    frame.bytes = sanitizer_->data();
    frame.hashed = false;  // of the frame as it was, it would tell
  }
  return encoder_.append(frame, out);
}

uint64_t Exporter::lost() const {
  uint64_t lost = 0;
  for (const Input& each : inputs_) lost += each.input->lost();
  return lost;
}

}  // namespace paste
