// Package geoip tells sessions' places from a MaxMind DB file on this machine: the city and country databases of
// MaxMind (GeoIP2, GeoLite2) and DB-IP. Nobody else is asked. No database comes with it: get one from its maker, under
// its licence, and have it updated, for example with geoipupdate.
//
//	places, err := geoip.Open("/var/lib/GeoIP/GeoLite2-City.mmdb", nil)
//	…
//	tracker, err := sessiontrack.New(store, &sessiontrack.Options{Locator: places})
//
// The file is read into memory, not mapped: a mapped file that shrinks while it is in use kills the process with a
// SIGBUS that nothing can catch. It may therefore be replaced or overwritten at any time; see [Locator].
package geoip

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oschwald/geoip2-golang/v2"

	"github.com/sessiontrack/sessiontrack"
)

const (
	defaultCheckInterval = time.Minute

	// settleTime is the least time for which a changed file must have stayed the same before it is read: tools that
	// write it in place take a while, and leave something in between that looks whole.
	settleTime = 2 * time.Second
)

// Options configures [Open]. The zero value, and nil, give the defaults.
type Options struct {
	// Language of names: "en" (the default), "de", "es", "fr", "ja", "pt-BR", "ru" or "zh-CN". A place without a name in
	// it is named in English.
	Language string

	// CheckInterval is how often, at most, a lookup looks whether the file has changed. Default 1 minute; negative
	// never, so that only Reload reads the file again.
	CheckInterval time.Duration

	// Logger gets a warning when a changed file cannot be used, and an info when one is. Default slog.Default().
	Logger *slog.Logger
}

// Locator is a [sessiontrack.Locator] over one database file. It is safe for concurrent use, holds no file and no
// goroutine, and needs no closing.
//
// A changed file is noticed by the first lookup after CheckInterval, and read by a lookup at least two seconds later
// that finds it unchanged since: it alone waits, about a second for the largest databases, while both are in memory. A
// file that is missing, truncated, damaged or of another kind is reported once and leaves the places as they were.
type Locator struct {
	path     string
	language func(geoip2.Names) string
	every    time.Duration
	logger   *slog.Logger

	database atomic.Pointer[geoip2.Reader]

	started   time.Time    // what nextCheck counts from, by the monotonic clock
	nextCheck atomic.Int64 // nanoseconds since started; negative: never

	mu       sync.Mutex  // held while the file is looked at; guards what follows
	current  os.FileInfo // the file that database was read from
	refused  os.FileInfo // the file that was no good, so that it is read once only
	changing os.FileInfo // the changed file as last seen, to see whether it stays so
	reported string      // the last warning, so that it is given once only
}

var _ sessiontrack.Locator = (*Locator)(nil)

// Open reads the database at path, and checks the whole of it: about 20 ms a megabyte. It fails when the file cannot be
// read, is damaged, or is neither a city nor a country database, and names the option that is wrong. opts may be nil.
func Open(path string, opts *Options) (*Locator, error) {
	if opts == nil {
		opts = &Options{}
	}
	language, ok := languages[opts.Language]
	if !ok {
		return nil, fmt.Errorf("geoip: Options.Language is %q: it must be en, de, es, fr, ja, pt-BR, ru or zh-CN", opts.Language)
	}
	l := &Locator{path: path, language: language, every: opts.CheckInterval, logger: opts.Logger, started: time.Now()}
	if l.every == 0 {
		l.every = defaultCheckInterval
	}
	if l.logger == nil {
		l.logger = slog.Default()
	}
	if err := l.Reload(); err != nil {
		return nil, err
	}
	return l, nil
}

// Locate returns the place of addr. The zero Location is no error: the database does not know the address, or the
// address is in no place (private, shared, loopback, link-local, multicast, unspecified, or the zero Addr). Names are
// cut to 100 bytes, valid UTF-8 and free of control and formatting characters, whatever the file says.
func (l *Locator) Locate(ctx context.Context, addr netip.Addr) (sessiontrack.Location, error) {
	if err := ctx.Err(); err != nil {
		return sessiontrack.Location{}, fmt.Errorf("geoip: locate: %w", err)
	}
	l.checkFile()
	addr = addr.Unmap().WithZone("")
	if !isPublic(addr) {
		return sessiontrack.Location{}, nil
	}
	city, err := l.database.Load().City(addr)
	if err != nil {
		return sessiontrack.Location{}, fmt.Errorf("geoip: locate: %w", err)
	}
	return l.location(city), nil
}

// Reload reads the file now, whether it has changed or not. When it cannot be used, the error says why and the places
// stay as they were. It is for hosts that know when the file is complete, from a signal or their own download.
func (l *Locator) Reload() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.scheduleCheck(l.every)
	return l.load()
}

// BuildTime returns when the database in use was built by its maker, so that hosts can watch that it is kept fresh.
func (l *Locator) BuildTime() time.Time {
	return l.database.Load().Metadata().BuildTime().UTC()
}

// checkFile looks at the file when that is due. One lookup does it, the others go on with the database that there is.
func (l *Locator) checkFile() {
	if next := l.nextCheck.Load(); next < 0 || time.Since(l.started) < time.Duration(next) || !l.mu.TryLock() {
		return
	}
	defer l.mu.Unlock()
	next := l.every
	defer func() { l.scheduleCheck(next) }()

	info, err := os.Stat(l.path)
	switch {
	case err != nil:
		l.report(err)
	case sameFile(info, l.current):
		l.changing, l.reported = nil, ""
	case sameFile(info, l.refused):
		l.changing = nil
	case !sameFile(info, l.changing):
		l.changing, next = info, settleTime
	default:
		if err := l.load(); err != nil {
			l.report(err)
			return
		}
		l.logger.Info("geoip: database reloaded", "path", l.path, "built", l.BuildTime())
	}
}

// load reads the file and, when it is good, puts it in use. mu is held.
func (l *Locator) load() error {
	database, info, err := readDatabase(l.path)
	if err != nil {
		l.refused = info
		return fmt.Errorf("geoip: %w", err)
	}
	l.database.Store(database)
	l.current, l.refused, l.changing, l.reported = info, nil, nil, ""
	return nil
}

// report warns of err, unless it did so last time. mu is held.
func (l *Locator) report(err error) {
	if text := err.Error(); text != l.reported {
		l.reported = text
		l.logger.Warn("geoip: the changed database cannot be used, the old one stays", "path", l.path, "error", err)
	}
}

func (l *Locator) scheduleCheck(after time.Duration) {
	if l.every < 0 {
		l.nextCheck.Store(-1)
		return
	}
	l.nextCheck.Store(int64(time.Since(l.started) + after))
}

// location takes from a record what a session shows. A country database leaves region and city empty. The region is the
// largest one: the parts of a country come from largest to smallest.
func (l *Locator) location(city *geoip2.City) sessiontrack.Location {
	place := sessiontrack.Location{
		CountryCode: countryCode(city.Country.ISOCode),
		Country:     l.name(city.Country.Names),
		City:        l.name(city.City.Names),
	}
	if len(city.Subdivisions) > 0 {
		place.Region = l.name(city.Subdivisions[0].Names)
	}
	return place
}

func (l *Locator) name(names geoip2.Names) string {
	if name := cleanName(l.language(names)); name != "" {
		return name
	}
	return cleanName(names.English)
}

var languages = map[string]func(geoip2.Names) string{
	"":      func(n geoip2.Names) string { return n.English },
	"en":    func(n geoip2.Names) string { return n.English },
	"de":    func(n geoip2.Names) string { return n.German },
	"es":    func(n geoip2.Names) string { return n.Spanish },
	"fr":    func(n geoip2.Names) string { return n.French },
	"ja":    func(n geoip2.Names) string { return n.Japanese },
	"pt-BR": func(n geoip2.Names) string { return n.BrazilianPortuguese },
	"ru":    func(n geoip2.Names) string { return n.Russian },
	"zh-CN": func(n geoip2.Names) string { return n.SimplifiedChinese },
}
