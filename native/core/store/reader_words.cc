#include "core/store/reader_words.h"

#include "core/base/glob.h"

namespace paste {
namespace {

// Ids count attachments and rules, so they are small; a damaged store's are looked up each time.
constexpr uint32_t kAnswersMax = 1u << 16;

}  // namespace

void RecordWords::start(const ReadOptions& options) {
  FrameWords::start(static_cast<uint32_t>(options.names.size()), options.tests, options.from_ns, options.to_ns);
  name_tests_.clear();
  for (const NameTest& test : options.names) name_tests_.push_back(Test{test, {}});
}

uint32_t RecordWords::word(uint32_t number) {
  if (number < kBpfOutcome) return FrameWords::word(number);
  if (number == kBpfOutcome) return header_->outcome;
  if (number == kBpfFlags) return header_->flags;
  if (number - kBpfNames >= name_tests_.size()) return FrameWords::word(number);
  Test& test = name_tests_[number - kBpfNames];
  switch (test.test.of) {
    case NameTest::Of::kIngress:
      return test.holds(header_->ingress, *names_);
    case NameTest::Of::kEgress:  // a flooded frame went to no one port
      return (header_->flags & layout::kFlooded) == 0 && test.holds(header_->egress, *names_);
    default:
      return test.holds(header_->rule, *names_);
  }
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
