module github.com/sessiontrack/sessiontrack/examples

go 1.26.0

require github.com/sessiontrack/sessiontrack v0.0.0

replace github.com/sessiontrack/sessiontrack => ../
