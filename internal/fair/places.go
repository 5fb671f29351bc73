// Package fair bounds how much may be under way at once, and shares the places fairly: who
// asks for much waits behind themselves and not in front of others. It knows no session.
package fair

import (
	"container/list"
	"context"
	"math"
	"sync"
)

// Places are a number of places of which each key may have a quarter, at least one. Who finds
// none waits in the order of arrival. The empty key stands for nobody in particular and has no
// share of its own. The zero value has no place: see Resize. Its methods may be called from
// any number of goroutines.
type Places struct {
	mu     sync.Mutex
	size   int
	taken  int
	line   list.List // of *waiter: they wait for a free place
	claims map[string]*claim
}

// claim is what one key has and wants. It exists while there is something of either.
type claim struct {
	held   int       // places taken or waited for in the line
	parked list.List // of *waiter: they wait for the key's share
}

type waiter struct {
	key    string
	ready  chan struct{} // closed once the place is the waiter's
	queue  *list.List    // where it waits
	place  *list.Element
	parked bool
}

// Resize sets the number of places, at least one. Those that are taken stay taken.
func (p *Places) Resize(size int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.claims == nil {
		p.claims = make(map[string]*claim)
	}
	p.size = max(size, 1)
	p.serve()
}

// Taken returns how many places are taken.
func (p *Places) Taken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken
}

// Try takes a place if that needs no waiting.
func (p *Places) Try(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.claim(key)
	if p.taken >= p.size || p.line.Len() > 0 || c.held >= p.share(key) {
		p.forget(key, c)
		return false
	}
	c.held++
	p.taken++
	return true
}

// Take takes a place, and waits for one until ctx is done. Its error is that of ctx.
func (p *Places) Take(ctx context.Context, key string) error {
	if p.Try(key) {
		return nil
	}
	w := p.wait(key)
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	if !p.leave(w) {
		p.Give(key) // the place came at the same moment
	}
	return ctx.Err()
}

// Give gives back a place that was taken with this key.
func (p *Places) Give(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	p.unclaim(key)
	p.serve()
}

// wait queues a waiter: in the line where the key's share allows that, else behind the key's
// own.
func (p *Places) wait(key string) *waiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.claim(key)
	w := &waiter{key: key, ready: make(chan struct{})}
	if w.parked = c.held >= p.share(key); w.parked {
		w.queue = &c.parked
	} else {
		w.queue = &p.line
		c.held++
	}
	w.place = w.queue.PushBack(w)
	p.serve()
	return w
}

// leave takes a waiter out of its queue, and reports whether it still stood there.
func (p *Places) leave(w *waiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.queue == nil {
		return false
	}
	w.queue.Remove(w.place)
	if w.parked {
		p.forget(w.key, p.claims[w.key])
	} else {
		p.unclaim(w.key)
		p.serve()
	}
	return true
}

// unclaim takes one from what a key has, and lets the key's next waiter into the line.
func (p *Places) unclaim(key string) {
	c := p.claims[key]
	c.held--
	if first := c.parked.Front(); first != nil {
		w := c.parked.Remove(first).(*waiter)
		w.queue, w.parked = &p.line, false
		w.place = p.line.PushBack(w)
		c.held++
	}
	p.forget(key, c)
}

// serve gives free places to those who wait longest.
func (p *Places) serve() {
	for p.taken < p.size && p.line.Len() > 0 {
		w := p.line.Remove(p.line.Front()).(*waiter)
		w.queue = nil
		p.taken++
		close(w.ready)
	}
}

// share is how many places a key may have.
func (p *Places) share(key string) int {
	if key == "" {
		return math.MaxInt
	}
	return max(p.size/4, 1)
}

func (p *Places) claim(key string) *claim {
	c := p.claims[key]
	if c == nil {
		c = &claim{}
		p.claims[key] = c
	}
	return c
}

// forget drops a claim with nothing in it, so that the map holds no more than is under way.
func (p *Places) forget(key string, c *claim) {
	if c.held == 0 && c.parked.Len() == 0 {
		delete(p.claims, key)
	}
}
