#include "addon/job.h"

#include <utility>

#include "addon/status_error.h"

namespace paste {
namespace {

class Job final : public Napi::AsyncWorker {
 public:
  Job(Napi::Env env, JobWork work, JobResult result, std::function<void()> ended)
      : Napi::AsyncWorker(env, "paste-switch"),
        deferred_(Napi::Promise::Deferred::New(env)),
        work_(std::move(work)),
        result_(std::move(result)),
        ended_(std::move(ended)) {}
  Napi::Promise promise() const { return deferred_.Promise(); }

 private:
  void Execute() override { status_ = work_(); }
  void OnOK() override {
    if (ended_) ended_();
    if (status_.ok())
      deferred_.Resolve(result_(Env()));
    else
      deferred_.Reject(status_error(Env(), status_).Value());
  }

  Napi::Promise::Deferred deferred_;
  JobWork work_;
  JobResult result_;
  std::function<void()> ended_;
  Status status_;
};

}  // namespace

Napi::Promise start_job(Napi::Env env, JobWork work, JobResult result, std::function<void()> ended) {
  auto* const job = new Job(env, std::move(work), std::move(result), std::move(ended));
  const Napi::Promise promise = job->promise();
  job->Queue();
  return promise;
}

}  // namespace paste
