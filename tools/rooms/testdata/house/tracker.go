// Package house is a tree with three rooms that keeps to all the rules.
package house

// Tracker stands on top.
type Tracker struct{ backend backend }

// Get asks the backend.
func (t *Tracker) Get() int { return t.backend.get() }
