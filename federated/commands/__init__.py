"""Train one model on many clients' data, which stays with them: what travels are losses."""

# command -> (module, what it does), as in pocketllm.runtime.cli
COMMANDS = {
    "split": ("pocketllm.federated.commands.split", "cut a data file into parts for clients"),
    "simulate": ("pocketllm.federated.commands.simulate", "run server and clients in one process"),
    "verify": ("pocketllm.federated.commands.verify", "compare what server and clients have"),
}
