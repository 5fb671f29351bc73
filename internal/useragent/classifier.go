package useragent

import (
	"context"
	"sync"
	"sync/atomic"
)

// A Classifier tells devices by uap-core's definitions and our own tables. It
// may be used concurrently. Its zero value goes by the embedded definitions.
type Classifier struct {
	Building sync.Mutex // held while expressions are compiled; who holds it delays all names
	engine   atomic.Pointer[engine]
}

// An engine is one set of definitions with what was found by them, so
// that new definitions begin with an empty cache.
type engine struct {
	families *families
	cache    cache
}

// New returns a Classifier by the given definitions, the text of
// uap-core's regexes.yaml; nil stands for those embedded in uap-go, which are
// compiled when first needed (0.1 s, 12 MB). Definitions that cannot be
// compiled are an error.
func New(definitions []byte) (*Classifier, error) {
	c := new(Classifier)
	if definitions == nil {
		return c, nil
	}
	if err := c.Reload(definitions); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload puts other definitions in place while the Classifier is in use; nil
// goes back to the embedded ones. On an error the former stay.
func (c *Classifier) Reload(definitions []byte) error {
	c.Building.Lock()
	defer c.Building.Unlock()
	f, err := newFamilies(definitions)
	if err != nil {
		return err
	}
	c.engine.Store(&engine{families: f})
	return nil
}

// Warm compiles the definitions unless that is done; the Tracker calls it in a
// goroutine of its own when it starts. It takes 0.1 s and cannot be cut short.
func (c *Classifier) Warm(ctx context.Context) {
	if ctx.Err() == nil {
		c.ready()
	}
}

// ready returns the definitions, compiled.
func (c *Classifier) ready() *engine {
	if e := c.engine.Load(); e != nil {
		return e
	}
	c.Building.Lock()
	defer c.Building.Unlock()
	if e := c.engine.Load(); e != nil {
		return e
	}
	f, err := newFamilies(nil)
	if err != nil {
		f = new(families) // the embedded definitions are tested; no names is better than no service
	}
	e := &engine{families: f}
	c.engine.Store(e)
	return e
}

// Describe returns the whole Result for a cleaned user agent and serialised
// hints. A cached one costs no allocation; the others some 0.1 ms. It is for
// use off the request's path: it may wait for the definitions.
func (c *Classifier) Describe(userAgent, hints string) Result {
	e := c.ready()
	key := cacheKey{userAgent, hints}
	if d, ok := e.cache.get(key); ok {
		return d
	}
	d := e.families.describe(userAgent, hints)
	e.cache.put(key, d)
	return d
}

// Known returns the Result of an agent that was described before, if it is still kept. It
// never waits and costs no allocation: it is for the request's path.
func (c *Classifier) Known(userAgent, hints string) (Result, bool) {
	e := c.engine.Load()
	if e == nil {
		return Result{}, false
	}
	return e.cache.get(cacheKey{userAgent, hints})
}

// cacheKey is what a Result depends on.
type cacheKey struct{ userAgent, hints string }

// A cache keeps the results of the agents seen last: two generations of
// maps, the elder of which is dropped when the younger is full. It holds at
// most maxCached and finds one without allocating.
type cache struct {
	mu           sync.Mutex
	young, elder map[cacheKey]Result
}

const maxCached = 4096

func (c *cache) get(key cacheKey) (Result, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d, ok := c.young[key]; ok {
		return d, true
	}
	d, ok := c.elder[key]
	if ok {
		c.insert(key, d)
	}
	return d, ok
}

func (c *cache) put(key cacheKey, d Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.insert(key, d)
}

func (c *cache) insert(key cacheKey, d Result) {
	if c.young == nil || len(c.young) >= maxCached/2 {
		c.young, c.elder = make(map[cacheKey]Result), c.young
	}
	c.young[key] = d
}
