// Package ground knows nothing of the root.
package ground

// Level is the height of the ground.
const Level = 0
