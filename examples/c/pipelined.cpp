// Translates raw frames with two of them in flight, so that reading and writing overlap with the engine:
//
//     ./pipelined engine.onnx < frames.raw > translated.raw
#include "inloco.h"

#include <condition_variable>
#include <cstdio>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

void check(inloco_status status)
{
    if (status != INLOCO_OK)
        throw std::runtime_error(inloco_last_error());
}

struct Close {
    void operator()(inloco_engine *engine) const { inloco_close(engine); }
};
using Engine = std::unique_ptr<inloco_engine, Close>;

Engine open_engine(const std::string &path)
{
    inloco_engine *engine = nullptr;
    check(inloco_open(path.c_str(), nullptr, &engine));
    return Engine(engine);
}

std::size_t bytes_of(const inloco_image &image)
{
    return std::size_t(image.height) * image.width * image.channels * (image.bits / 8);
}

// One frame and its translation, in memory of its own.
class Slot {
public:
    explicit Slot(const inloco_description &about)
        : in_(bytes_of(about.frame)), out_(bytes_of(about.translated)), frame_(about.frame), translated_(about.translated)
    {
        frame_.data = in_.data();
        translated_.data = out_.data();
    }

    bool read()
    {
        const std::size_t got = std::fread(in_.data(), 1, in_.size(), stdin);
        if (got != 0 && got != in_.size())
            throw std::runtime_error("the last frame is cut");
        return got != 0;
    }

    void start(inloco_engine *engine)
    {
        finished_ = false; // before the call: the callback may be faster than its return
        check(inloco_translate_async(engine, &frame_, &translated_, &Slot::done, this));
    }

    void write()
    {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [this] { return finished_; });
        if (status_ != INLOCO_OK)
            throw std::runtime_error(reason_);
        if (std::fwrite(out_.data(), 1, out_.size(), stdout) != out_.size())
            throw std::runtime_error("standard output cannot be written");
    }

private:
    // Runs in the engine's thread; nothing may be thrown from here.
    static void done(inloco_status status, void *user_data)
    {
        Slot *slot = static_cast<Slot *>(user_data);
        std::lock_guard<std::mutex> lock(slot->mutex_);
        slot->status_ = status;
        slot->reason_ = status == INLOCO_OK ? "" : inloco_last_error();
        slot->finished_ = true;
        slot->changed_.notify_one();
    }

    std::vector<unsigned char> in_, out_;
    inloco_image frame_, translated_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool finished_ = true;
    inloco_status status_ = INLOCO_OK;
    std::string reason_;
};

void translate_all(const std::string &path)
{
    inloco_description about;
    std::unique_ptr<Slot> slots[2];
    const Engine engine = open_engine(path); // declared last, so closed first: that waits for the slots
    about.struct_size = sizeof about;
    check(inloco_describe(engine.get(), &about));
    for (std::unique_ptr<Slot> &slot : slots)
        slot.reset(new Slot(about));

    unsigned long read = 0, written = 0;
    while (slots[read % 2]->read()) {
        slots[read++ % 2]->start(engine.get());
        if (read - written == 2)
            slots[written++ % 2]->write();
    }
    while (written < read)
        slots[written++ % 2]->write();
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 2) {
        std::fprintf(stderr, "usage: %s ENGINE < frames.raw > translated.raw\n", argv[0]);
        return 2;
    }
    try {
        translate_all(argv[1]);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 2;
    }
    return 0;
}
