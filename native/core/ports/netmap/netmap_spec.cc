#include "core/ports/netmap/netmap_spec.h"

#include <algorithm>
#include <charconv>
#include <string_view>

namespace paste {

namespace {

constexpr uint32_t kRingMask = 0xfff;   // ring numbers of a registration are 12 bits wide
constexpr size_t kNameBytesMax = 63;    // nr_name with its NUL is 64

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_identifier(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  });
}

// Interfaces may be called "eth0.100" or "veth-a", too, but a '-' starts a mode in this grammar: such a name cannot be
// written.
bool is_port_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return c == '.' || is_identifier(std::string_view(&c, 1));
  });
}

template <typename Number>
bool parse_number(std::string_view text, Number* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

class Parser {
 public:
  Parser(const std::string& text, NetmapSpec* spec) : text_(text), rest_(text), spec_(spec) {}

  Status run() {
    if (!skip("netmap:")) return wrong("netmap:NAME is meant");
    if (Status status = parse_name(); !status.ok()) return status;
    if (Status status = parse_mode(); !status.ok()) return status;
    if (Status status = parse_suffixes(); !status.ok()) return status;
    if (Status status = parse_options(); !status.ok()) return status;
    return check();
  }

 private:
  Status wrong(const std::string& what) const { return Status(Code::kUsage, "port `" + text_ + "`: " + what); }
  bool skip(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  std::string_view until(std::string_view ends) {
    const std::string_view word = rest_.substr(0, rest_.find_first_of(ends));
    rest_.remove_prefix(word.size());
    return word;
  }
  bool number(uint32_t* value) {
    const size_t digits = std::find_if_not(rest_.begin(), rest_.end(), is_digit) - rest_.begin();
    const bool good = parse_number(rest_.substr(0, digits), value);
    rest_.remove_prefix(digits);
    return good;
  }

  Status parse_name() {
    std::string_view port = until("-*^/@,");
    if (port.empty()) return wrong("a port's name is missing behind netmap:");
    if (port.size() > kNameBytesMax) return wrong("the name is longer than 63 characters");
    spec_->name = port;
    if (const size_t colon = port.find(':'); colon != std::string_view::npos) {
      const std::string_view bridge = port.substr(0, colon);
      if (!bridge.starts_with("vale") || (bridge.size() > 4 && !is_identifier(bridge.substr(4))))
        return wrong("in front of `:` stands vale and a switch's identifier, such as vale0");
      port.remove_prefix(colon + 1);
    }
    const size_t pipe = port.find_first_of("{}");
    if (pipe != std::string_view::npos && !is_identifier(port.substr(pipe + 1)))
      return wrong("behind { or } stands a pipe's identifier of letters, digits and _");
    if (!is_port_name(port.substr(0, pipe))) return wrong("a port's name has letters, digits, _ and .");
    return {};
  }

  Status parse_mode() {
    uint32_t ring = 0;
    if (skip("*")) {
      spec_->mode = netmap::kNicAndHost;
    } else if (skip("^")) {
      spec_->mode = netmap::kHostOnly;
      if (rest_.empty() || !is_digit(rest_[0])) return {};
      spec_->mode = netmap::kOneHost;
      if (!number(&ring) || ring >= kRingMask) return wrong("a ring's number is below 4095");
    } else if (skip("-")) {
      spec_->mode = netmap::kOneNic;
      if (!number(&ring) || ring >= kRingMask) return wrong("behind - stands a ring's number below 4095");
    }
    spec_->ring = static_cast<uint16_t>(ring);
    return {};
  }

  // @ID and /FLAGS, in any order; the same id twice is one.
  Status parse_suffixes() {
    while (!rest_.empty() && rest_[0] != ',') {
      if (rest_[0] == '@' && rest_.size() > 1 && !is_digit(rest_[1])) return {};
      if (skip("@")) {
        uint32_t id = 0;
        if (!number(&id) || id == 0 || id > 0xffff) return wrong("behind @ stands a memory id, 1 to 65535");
        if (spec_->memory_id != 0 && spec_->memory_id != id) return wrong("two memory ids");
        spec_->memory_id = static_cast<uint16_t>(id);
      } else if (skip("/")) {
        const std::string_view letters = until("@,");
        if (letters.empty()) return wrong("behind / stand flags: x z t r R T");
        for (const char letter : letters)
          if (!add_flag(letter)) return wrong(std::string("flag `") + letter + "` is none of x z t r R T");
      } else {
        return wrong("`" + std::string(rest_) + "` is no mode, memory id or flag");
      }
    }
    return {};
  }

  bool add_flag(char letter) {
    static constexpr std::string_view kLetters = "xztrRT";
    static constexpr uint64_t kFlags[] = {netmap::kExclusive,  netmap::kZcopyMonitor, netmap::kMonitorTx,
                                          netmap::kMonitorRx, netmap::kRxRingsOnly,  netmap::kTxRingsOnly};
    const size_t at = kLetters.find(letter);
    if (at == std::string_view::npos) return false;
    spec_->flags |= kFlags[at];
    return true;
  }

  // netmap writes its options behind @, with commas inside; ours stand behind commas. The keys are different ones, so
  // both are read alike.
  Status parse_options() {
    while (!rest_.empty()) {
      if (!skip("@conf:")) rest_.remove_prefix(1);
      const std::string_view item = until(",@");
      const size_t equals = item.find('=');
      if (equals == std::string_view::npos || !set_option(item.substr(0, equals), item.substr(equals + 1)))
        return wrong("option `" + std::string(item) +
                     "`: extmem=auto|on|off, share=PORT, and numbers for [tx-|rx-]slots, "
                     "[tx-|rx-|host-|host-tx-|host-rx-]rings");
    }
    return {};
  }

  bool set_option(std::string_view key, std::string_view value) {
    NetmapSpec& s = *spec_;
    if (key == "extmem") {
      s.extmem = value == "on" ? Extmem::kOn : value == "off" ? Extmem::kOff : Extmem::kAuto;
      return value == "on" || value == "off" || value == "auto";
    }
    if (key == "share") {
      s.share = value.starts_with("netmap:") ? value.substr(7) : value;
      return !s.share.empty() && s.share.size() <= kNameBytesMax;
    }
    if (key.ends_with("slots")) {
      uint32_t slots;
      if (!parse_number(value, &slots) || slots == 0) return false;
      if (key == "slots" || key == "tx-slots") s.tx_slots = slots;
      if (key == "slots" || key == "rx-slots") s.rx_slots = slots;
      return key == "slots" || key == "tx-slots" || key == "rx-slots";
    }
    uint16_t rings;
    if (!parse_number(value, &rings) || rings == 0) return false;
    if (key == "rings" || key == "tx-rings") s.tx_rings = rings;
    if (key == "rings" || key == "rx-rings") s.rx_rings = rings;
    if (key == "host-rings" || key == "host-tx-rings") s.host_tx_rings = rings;
    if (key == "host-rings" || key == "host-rx-rings") s.host_rx_rings = rings;
    return key == "rings" || key == "tx-rings" || key == "rx-rings" || key == "host-rings" || key == "host-tx-rings" ||
           key == "host-rx-rings";
  }

  Status check() const {
    const NetmapSpec& s = *spec_;
    if (s.uses_host() && s.on_vale())
      return wrong("a port of a VALE switch has no host rings (those that are shown lead nowhere): leave ^, * out");
    if (s.pipe() && s.mode != netmap::kAllNic && s.mode != netmap::kOneNic)
      return wrong("a pipe's end has no host rings: leave ^ and * out");
    if ((s.flags & netmap::kRxRingsOnly) && (s.flags & netmap::kTxRingsOnly))
      return wrong("R and T exclude each other");
    if (s.memory_id != 0 && !s.share.empty()) return wrong("a memory id and share= exclude each other");
    if (s.extmem == Extmem::kOn && (s.memory_id != 0 || !s.share.empty()))
      return wrong("extmem=on is memory of the store, a memory id or share= is another's: leave one out");
    return {};
  }

  const std::string& text_;
  std::string_view rest_;
  NetmapSpec* spec_;
};

}  // namespace

Status parse_netmap_spec(const std::string& text, NetmapSpec* spec) { return Parser(text, spec).run(); }

}  // namespace paste
