package house

import "example.org/house/internal/ground"

// Height is used above.
const Height = ground.Level + 1

// Store keeps things.
type Store interface{ Get() int }
