"""`python -m mnist1d_hf.cli`, the same as `mnist1d-hf`."""

from mnist1d_hf.cli import main

if __name__ == "__main__":
    main()
