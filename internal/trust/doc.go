// Package trust holds checks.txt, the list of sessiontrack's promises and the tests that prove each
// of them. Its own tests check that those tests exist, that docs/checks.md shows the list, and that
// required modules are not older than their floors.
package trust
