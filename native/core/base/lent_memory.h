// Memory that this process lends to others: the descriptor of a memfd of which the kernel tells whether anybody else has it still.
#pragma once

#include <cstdint>

namespace paste {

class LentMemory {
 public:
  LentMemory() = default;
  ~LentMemory();
  LentMemory(const LentMemory&) = delete;
  LentMemory& operator=(const LentMemory&) = delete;

  // Fresh, empty and not sealed yet. False with errno.
  bool make(const char* name);
  // The memory behind a descriptor that another process gave, which stays the caller's. False with errno.
  bool take_over(int fd);

  int fd() const { return fd_; }
  // A descriptor for somebody else: O_RDONLY or O_RDWR. -1 with errno.
  int lend(int access) const;
  // Whether somebody has what lend() gave, has mapped it, or opened the memory otherwise: then its pages stay, whatever is done here.
  // False where the kernel does not tell.
  bool held() const;

 private:
  int fd_ = -1;
};

}  // namespace paste
