"""Celery as it is fastest for many short tasks, without giving up results.

Run as a program with a number, it submits a group of so many tasks, collects the results, and prints the
seconds from the first submission to the last result.
"""

import os
import sys
import time

from celery import Celery, group

url = os.environ["BENCH_REDIS"]
app = Celery("celery_app", broker=f"{url}/1", backend=f"{url}/2")
app.conf.update(
    # Results are what flowhost keeps as well.
    task_ignore_result=False,
    # The default is 4 for each process; Celery's guide advises more for many short tasks.
    worker_prefetch_multiplier=128,
    # Celery's default: a task is acknowledged before it runs, which costs least and loses most.
    task_acks_late=False,
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    worker_disable_rate_limits=True,
    worker_send_task_events=False,
    task_send_sent_event=False,
    broker_connection_retry_on_startup=True,
)


@app.task
def noop(argument):
    return argument


def main():
    count = int(sys.argv[1])
    text = "x" * 64
    # The connections are made and the worker is warm before the clock starts, as with flowhost.
    noop.delay(text).get()
    began = time.perf_counter()
    results = group(noop.s(text) for _ in range(count)).apply_async()
    values = results.get()
    elapsed = time.perf_counter() - began
    assert len(values) == count and all(value == text for value in values)
    print(elapsed)


if __name__ == "__main__":
    main()
