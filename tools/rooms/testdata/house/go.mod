module example.org/house

go 1.25.1
