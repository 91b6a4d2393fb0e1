"""Train one model on many clients' data, which stays with them: what travels are losses."""

# command -> (module, what it does), as in pocketllm.runtime.cli
COMMANDS = {
    "keys": ("pocketllm.federated.commands.keys", "make the keys of a server and its clients"),
    "split": ("pocketllm.federated.commands.split", "cut a data file into parts for clients"),
    "server": ("pocketllm.federated.commands.server", "ask clients, and join what they answer"),
    "client": ("pocketllm.federated.commands.client", "answer a server from this machine's data"),
    "answer": ("pocketllm.federated.commands.answer", "answer one question, for what carries it"),
    "bench": ("pocketllm.federated.commands.bench", "measure bytes and memory of a client"),
    "simulate": ("pocketllm.federated.commands.simulate", "run server and clients in one process"),
    "compare": (
        "pocketllm.federated.commands.compare",
        "compare federations with runs on all data, and with liars",
    ),
    "verify": ("pocketllm.federated.commands.verify", "compare what server and clients have"),
}
