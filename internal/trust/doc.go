// Package trust holds the list of what sessiontrack promises, each with the tests that
// prove it: checks.txt. Its own tests see to it that those tests exist, that
// docs/checks.md shows the list, and that requirements are at or above their floors.
package trust
