package sessiontrack

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
)

// A Classifier tells devices by uap-core's definitions and our own tables. It
// may be used concurrently. Its zero value goes by the embedded definitions.
type Classifier struct {
	build  sync.Mutex // held while expressions are compiled
	engine atomic.Pointer[deviceEngine]
}

// A deviceEngine is one set of definitions with what was found by them, so
// that new definitions begin with an empty cache.
type deviceEngine struct {
	families *families
	cache    deviceCache
}

// NewClassifier returns a Classifier by the given definitions, the text of
// uap-core's regexes.yaml; nil stands for those embedded in uap-go, which are
// compiled when first needed (0.1 s, 12 MB). Definitions that cannot be
// compiled are an error.
func NewClassifier(definitions []byte) (*Classifier, error) {
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
	c.build.Lock()
	defer c.build.Unlock()
	f, err := newFamilies(definitions)
	if err != nil {
		return err
	}
	c.engine.Store(&deviceEngine{families: f})
	return nil
}

// Classify says what device sent a request with these headers. The first call
// may wait for the definitions to be compiled.
func (c *Classifier) Classify(h http.Header) Device {
	return c.describe(cleanUserAgent(h.Get("User-Agent")), deviceHints(h))
}

// warm compiles the definitions unless that is done; the Tracker calls it in a
// goroutine of its own when it starts. It takes 0.1 s and cannot be cut short.
func (c *Classifier) warm(ctx context.Context) {
	if ctx.Err() == nil {
		c.ready()
	}
}

// ready returns the definitions, compiled.
func (c *Classifier) ready() *deviceEngine {
	if e := c.engine.Load(); e != nil {
		return e
	}
	c.build.Lock()
	defer c.build.Unlock()
	if e := c.engine.Load(); e != nil {
		return e
	}
	f, err := newFamilies(nil)
	if err != nil {
		f = new(families) // the embedded definitions are tested; no names is better than no service
	}
	e := &deviceEngine{families: f}
	c.engine.Store(e)
	return e
}

// describe returns the whole Device for a cleaned user agent and serialised
// hints. A cached one costs no allocation; the others some 0.1 ms. It is for
// use off the request's path: it may wait for the definitions.
func (c *Classifier) describe(userAgent, hints string) Device {
	e := c.ready()
	key := deviceKey{userAgent, hints}
	if d, ok := e.cache.get(key); ok {
		return d
	}
	d := e.families.describe(userAgent, hints)
	e.cache.put(key, d)
	return d
}

// deviceKey is what a Device depends on.
type deviceKey struct{ userAgent, hints string }

// A deviceCache keeps the results of the agents seen last: two generations of
// maps, the elder of which is dropped when the younger is full. It holds at
// most maxCachedDevices and finds one without allocating.
type deviceCache struct {
	mu           sync.Mutex
	young, elder map[deviceKey]Device
}

const maxCachedDevices = 4096

func (c *deviceCache) get(key deviceKey) (Device, bool) {
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

func (c *deviceCache) put(key deviceKey, d Device) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.insert(key, d)
}

func (c *deviceCache) insert(key deviceKey, d Device) {
	if c.young == nil || len(c.young) >= maxCachedDevices/2 {
		c.young, c.elder = make(map[deviceKey]Device), c.young
	}
	c.young[key] = d
}
