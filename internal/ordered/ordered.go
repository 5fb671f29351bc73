// Package ordered keeps a sorted list in memory that changes all the time: MemoryStore's
// live sessions, and its users by their activity.
package ordered

import (
	"iter"
	"slices"
)

// chunkSize bounds a chunk: large enough to keep the list of chunks short, small enough to
// move cheaply.
const chunkSize = 512

// List is a sorted list with cheap insertion, removal and seeking: chunks of at most
// chunkSize elements, none of them empty. No two elements compare equal, and what compare
// reads does not change while an element is inside. It is made by [New], and is not safe
// for concurrent use where somebody changes it.
type List[T any] struct {
	compare func(a, b T) int
	chunks  [][]T
	n       int
}

// New returns an empty list in the order of compare.
func New[T any](compare func(a, b T) int) List[T] { return List[T]{compare: compare} }

// Len returns the number of elements.
func (o *List[T]) Len() int { return o.n }

// chunk returns the index of the chunk where v is or belongs: the first that ends
// at v or behind it.
func (o *List[T]) chunk(v T) int {
	i, _ := slices.BinarySearchFunc(o.chunks, v, func(c []T, v T) int {
		return o.compare(c[len(c)-1], v)
	})
	return i
}

// Insert puts v into its place.
func (o *List[T]) Insert(v T) {
	o.n++
	if len(o.chunks) == 0 {
		o.chunks = append(o.chunks, []T{v})
		return
	}
	i := min(o.chunk(v), len(o.chunks)-1)
	if len(o.chunks[i]) >= chunkSize {
		i = o.split(i, v)
	}
	at, _ := slices.BinarySearchFunc(o.chunks[i], v, o.compare)
	o.chunks[i] = slices.Insert(o.chunks[i], at, v)
}

// split makes room in the full chunk i for v and returns the chunk to put it in.
// At the end of the list it begins a new chunk instead of halving, so that a list
// that grows at its end is packed.
func (o *List[T]) split(i int, v T) int {
	full := o.chunks[i]
	cut := len(full) / 2
	if i == len(o.chunks)-1 && o.compare(full[len(full)-1], v) < 0 {
		cut = len(full)
	}
	rest := append(make([]T, 0, chunkSize), full[cut:]...)
	clear(full[cut:])
	o.chunks[i] = full[:cut]
	o.chunks = slices.Insert(o.chunks, i+1, rest)
	if cut == len(full) || o.compare(full[cut-1], v) < 0 {
		return i + 1
	}
	return i
}

// Remove takes v out. It does nothing where v is not inside.
func (o *List[T]) Remove(v T) {
	i := o.chunk(v)
	if i == len(o.chunks) {
		return
	}
	at, found := slices.BinarySearchFunc(o.chunks[i], v, o.compare)
	if !found {
		return
	}
	o.n--
	o.chunks[i] = slices.Delete(o.chunks[i], at, at+1)
	o.shrink(i)
}

// shrink drops chunk i where it is empty and joins it to the next where both are
// small, so that the number of chunks follows the number of elements.
func (o *List[T]) shrink(i int) {
	switch {
	case len(o.chunks[i]) == 0:
		o.chunks = slices.Delete(o.chunks, i, i+1)
	case i+1 < len(o.chunks) && len(o.chunks[i])+len(o.chunks[i+1]) <= chunkSize/4:
		o.chunks[i] = append(o.chunks[i], o.chunks[i+1]...)
		o.chunks = slices.Delete(o.chunks, i+1, i+2)
	}
}

// All yields every element, in order.
func (o *List[T]) All() iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, c := range o.chunks {
			for _, e := range c {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// Backward yields every element, the last one first.
func (o *List[T]) Backward() iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, c := range slices.Backward(o.chunks) {
			for _, e := range slices.Backward(c) {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// From yields the elements at v and behind it, in order.
func (o *List[T]) From(v T) iter.Seq[T] {
	return func(yield func(T) bool) {
		first := o.chunk(v)
		for i := first; i < len(o.chunks); i++ {
			at := 0
			if i == first {
				at, _ = slices.BinarySearchFunc(o.chunks[i], v, o.compare)
			}
			for _, e := range o.chunks[i][at:] {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// Before yields the elements in front of v, the last one first.
func (o *List[T]) Before(v T) iter.Seq[T] {
	return func(yield func(T) bool) {
		first := o.chunk(v)
		for i := min(first, len(o.chunks)-1); i >= 0; i-- {
			part := o.chunks[i]
			if i == first {
				at, _ := slices.BinarySearchFunc(part, v, o.compare)
				part = part[:at]
			}
			for _, e := range slices.Backward(part) {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// CountBefore returns how many elements are in front of v.
func (o *List[T]) CountBefore(v T) int {
	i, n := o.chunk(v), 0
	for _, c := range o.chunks[:i] {
		n += len(c)
	}
	if i < len(o.chunks) {
		at, _ := slices.BinarySearchFunc(o.chunks[i], v, o.compare)
		n += at
	}
	return n
}
