"""An iterator whose next item is made while the caller works on one."""

from concurrent.futures import ThreadPoolExecutor


def prefetched(items):
    """The items of an iterator; a thread makes the next one while the caller works on one.

    An error in the thread is raised here. The thread ends with the last item, or, when the
    caller leaves before, with the item that it is making.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item
