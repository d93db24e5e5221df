"""Import TensorFlow without its start-up lines, and quickly; scripts import this module first.

TensorFlow's C++ side writes to the file descriptor of stderr before its log level is read, so the
descriptor itself is redirected while it loads. TF_CPP_MIN_LOG_LEVEL=0 or 1 shows its lines.
"""

import gc
import os
import sys
import tempfile

# A compiled step copies fewer weights, with the same bits: at batch 5 it takes 0.88 of the time.
# XLA ends a process that sets a flag it does not know: TensorFlow 2.20 and 2.21 know this one.
FEWER_COPIES = "--xla_cpu_copy_insertion_use_region_analysis=true"
NOT_NEEDED = ("sklearn", "matplotlib.pyplot", "IPython")  # Keras loads what is installed: 0.7 s


def import_quietly():
    """Load tensorflow with its first lines held back; shown after all if the import fails."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with tempfile.TemporaryFile() as held_back:
        stderr = os.dup(2)
        os.dup2(held_back.fileno(), 2)
        try:
            import tensorflow
        except BaseException:
            held_back.seek(0)
            os.write(stderr, held_back.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
    tensorflow.get_logger().setLevel("ERROR")


os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever ~/.keras/keras.json says
os.environ.setdefault("XLA_FLAGS", FEWER_COPIES)
# What an import loads stays: to search it for garbage, now and at exit, would take 1.2 s.
gc.disable()
held_off = [name for name in NOT_NEEDED if name not in sys.modules]
sys.modules.update(dict.fromkeys(held_off))  # None: as if it were not installed
if os.environ.get("TF_CPP_MIN_LOG_LEVEL") not in ("0", "1"):
    import_quietly()
import tensorflow  # noqa: F401 - the environment comes first

for name in held_off:
    del sys.modules[name]
gc.freeze()
gc.enable()
