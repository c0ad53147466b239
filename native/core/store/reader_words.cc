#include "core/store/reader_words.h"

#include <algorithm>

#include "core/base/glob.h"
#include "core/store/community_id.h"

namespace paste {
namespace {

// Ids count attachments and rules, so they are small; a damaged store's are looked up each time.
constexpr uint32_t kAnswersMax = 1u << 16;

}  // namespace

void RecordWords::start(const std::vector<NameTest>& names) {
  tests_.clear();
  for (const NameTest& test : names) tests_.push_back(Test{test, {}});
  words_.assign(kBpfNames + names.size(), 0);
}

const uint32_t* RecordWords::of(const layout::RecordHeader& header, const ReaderNames& names) {
  words_[kBpfTimeHigh] = static_cast<uint32_t>(header.time_ns >> 32);
  words_[kBpfTimeLow] = static_cast<uint32_t>(header.time_ns);
  words_[kBpfOutcome] = header.outcome;
  words_[kBpfFlags] = header.flags;
  for (size_t i = 0; i < tests_.size(); ++i) {
    const NameTest::Of of = tests_[i].test.of;
    const uint32_t id = of == NameTest::Of::kIngress ? header.ingress : of == NameTest::Of::kEgress ? header.egress : header.rule;
    words_[kBpfNames + i] = tests_[i].holds(id, names);
  }
  return words_.data();
}

const uint32_t* RecordWords::of(const layout::RecordHeader& header, const ReaderNames& names, const uint8_t* frame, uint32_t length) {
  uint32_t digest[5] = {};
  words_[kBpfHasCommunity] = community_id(frame, length, digest);
  std::copy_n(digest, 5, &words_[kBpfCommunity]);
  return of(header, names);
}

bool RecordWords::Test::holds(uint32_t id, const ReaderNames& names) {
  if (id == 0) return false;
  if (id < answers.size() && answers[id] != 0) return answers[id] == 2;
  const std::string* name = test.of == NameTest::Of::kRule ? names.rule(id) : names.port(id);
  if (!name) return false;
  const bool holds = glob_matches(test.pattern, *name);
  if (id >= kAnswersMax) return holds;
  if (id >= answers.size()) answers.resize(id + 1, 0);
  answers[id] = holds ? 2 : 1;
  return holds;
}

}  // namespace paste
