"""Import TensorFlow without its start-up lines; set TF_CPP_MIN_LOG_LEVEL to see them.

TensorFlow's C++ side writes to the file descriptor of stderr before its log level is read, so
the descriptor itself is turned away while it loads. Scripts import this module before any other.
"""

import os
import tempfile


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
if "TF_CPP_MIN_LOG_LEVEL" not in os.environ:
    import_quietly()
