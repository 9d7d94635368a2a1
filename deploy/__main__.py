"""What `bin/inloco` runs; Python looks for packages in its folder, PREFIX/lib/inloco, and not in the caller's."""

from runtime.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
