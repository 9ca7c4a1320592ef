"""Shows a set in the Rerun viewer (https://rerun.io); needs the optional package `rerun-sdk`."""

from pathlib import Path

from demos.errors import DemoError
from demos.store.demo_set import DemoSet
from demos.store.schema import CAMERA
from demos.viewing.summary import is_vector


def log(demos: DemoSet, path: str | Path | None) -> None:
    """Write the recording to `path` (.rrd), or open the viewer and send it there if `path` is None.

    Episodes follow one another on the timeline `time`, one second apart. `step` counts within an episode.
    """
    try:
        import rerun as rr
    except ImportError as error:
        raise DemoError(
            f"rerun= needs the package rerun-sdk ({error}): pip install rerun-sdk (html=report.html needs nothing)"
        ) from error
    stream = rr.RecordingStream("toto_robot_demos")
    if path is None:
        stream.spawn()
    else:
        Path(path).absolute().parent.mkdir(parents=True, exist_ok=True)
        stream.save(str(path))
    start_s, hz = 0.0, demos.attrs["control_hz"]
    for i in range(demos.episodes):
        data = demos.episode(i)
        times = data.get("timestamp_s")
        for t in range(int(demos.lengths[i])):
            stream.set_time("time", duration=start_s + (float(times[t]) if times is not None else t / hz))
            stream.set_time("step", sequence=t)
            stream.set_time("episode", sequence=i)
            for key, value in data.items():
                if key.startswith(CAMERA):
                    stream.log(f"camera/{key.removeprefix('rgb_')}", rr.Image(value[t]).compress(jpeg_quality=90))
                elif is_vector(demos, key) and key != "timestamp_s":
                    stream.log(key, rr.Scalars(value[t].reshape(-1).astype(float)))
        start_s += (float(times[-1]) if times is not None else (demos.lengths[i] - 1) / hz) + 1.0
    stream.flush()
