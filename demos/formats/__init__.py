"""The layouts of demonstrations that other projects read and write, and how they are told apart.

A module a format, each with `read(path, options) -> Imported`, and `write(imported, path, options) -> Report` for those
that are also exported: lerobot_v3, robomimic_hdf5, diffusion_zarr, rlds (read only) and native (our own store).
"""
