"""The layouts of demonstrations that other projects read and write, and how they are told apart.

Each format has a module with `looks(path)`, `read(path, options) -> Imported`, and `write(imported, path, options) ->
Report` if it is also exported: lerobot_v3, robomimic_hdf5, diffusion_zarr, rlds (read only) and native (our own store).
"""
