            "Does not hold: at 1 as per gate all of the systems go to the quantum solver, and the training is "
            "predicted to be 0.80 times as fast as by LU.",
            "Does not hold",
