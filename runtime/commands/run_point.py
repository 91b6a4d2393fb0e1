"""What the eval and replay commands share: the step that --run and --at_step name."""

from pathlib import Path

from absl import flags

from ..bundle.contents import Bundle
from ..engine.model import Model
from ..errors import InputError
from ..host.progress import Progress
from ..run.folder import describe_torn_end
from ..run.restore import UNTUNED, Redone, RunPoint, bring_to, point_of


def read_point(values: flags.FlagValues, bundle: Bundle) -> RunPoint:
    """Returns the step that the flags name; the untuned bundle without --run."""
    if values.run is None:
        if values.at_step is not None:
            raise InputError("--at_step goes with --run")
        return UNTUNED
    if not values.run:
        raise InputError("--run is missing; see --help")
    point = point_of(Path(values.run), bundle, values.at_step)
    if torn := describe_torn_end(Path(values.run)):
        print(torn, flush=True)
    return point


def bring_with_progress(model: Model, point: RunPoint) -> Redone:
    """Brings a model to a step, behind a progress bar."""
    with Progress("replaying", point.step, "step") as bar:
        return bring_to(model, point, bar.advance, bar.say)
