// Package browsertest drives the dashboard in a real Chromium, against the demo,
// against the library's handlers in the test's own process, and against a
// generated application of any size. It has tests only, in a module of their own.
package browsertest
