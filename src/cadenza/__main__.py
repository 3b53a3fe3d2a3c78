"""`python -m cadenza`: the command line, also for `torchrun -m cadenza train`."""

from cadenza.cli import main

if __name__ == "__main__":
    main()
