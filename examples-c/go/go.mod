module example.org/weft-loop

go 1.19
