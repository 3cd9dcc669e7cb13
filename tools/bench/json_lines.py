"""A worker on standard input and output: a line of JSON asks, a line of JSON answers. What anything else prints goes to standard error.

    {"op": "measure", "args": {...}}   ->   {"result": ...}   or   {"error": "..."}
"""
import json
import os
import signal
import sys
import traceback


def serve(handlers):
    """Answers until standard input ends. `handlers`: functions by the name of their operation."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asks, who then closes our input
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            request = json.loads(line)
            answer = {"result": handlers[request["op"]](**request["args"])}
        except Exception as error:  # whatever it is, the other side must hear of it
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
