"""An executor that makes runs one after the other in the calling process, and keeps a log of them."""

from whichtune.executors.base import EXECUTORS, RunRequest, make_run


class InTurn:
    """Holds nothing from one call to the next."""

    def __init__(self, options):
        self.options = options

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def warm_up(self):
        return None

    def execute(self, specs, folder, save, on_event):
        folder.sweep()
        missing = [spec for spec in specs if not folder.is_complete(spec.run_id)]
        for spec in missing:
            on_event({"event": "start", "run_id": spec.run_id, "label": spec.label, "seed": spec.seed})
            request = RunRequest(spec=spec, folder=str(folder.path), save=save, threads=self.options.threads)
            make_run(request, lambda event, run=spec.run_id: on_event({"run_id": run, **event}))
            record = folder.read_run(spec.run_id)
            on_event({"event": "end", "run_id": spec.run_id, "status": record.status, "error": record.error})
            with (folder.path / "in_turn.log").open("a") as log:
                log.write(f"{spec.label} made\n")
        return len(missing)


EXECUTORS.register("in_turn")(InTurn)
