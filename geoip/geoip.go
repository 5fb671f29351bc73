// Package geoip looks up locations in a MaxMind DB file on this machine: the city and country
// databases of MaxMind (GeoIP2, GeoLite2) and DB-IP. It sends no request to anyone. It contains no
// database: get one from its maker, under its licence, and keep it updated, for example with
// geoipupdate.
//
//	places, err := geoip.Open("/var/lib/GeoIP/GeoLite2-City.mmdb", nil)
//	…
//	tracker, err := sessiontrack.New(store, &sessiontrack.Options{Locator: places})
//
// The file is read into memory and not mapped: if a mapped file shrinks while it is in use, a
// SIGBUS kills the process. So the file may be replaced or overwritten at any time; see [Locator].
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

	// settleTime is how long a changed file must stay unchanged before it is read. Tools that write
	// the file in place take a while, and an incomplete file may look complete.
	settleTime = 2 * time.Second
)

// Options configures [Open]. The zero value and nil mean the defaults.
type Options struct {
	// Language is the language of names: "en" (the default), "de", "es", "fr", "ja", "pt-BR", "ru"
	// or "zh-CN". A location without a name in that language gets its English name.
	Language string

	// CheckInterval is the shortest time between two checks whether the file has changed. Default 1
	// minute. A negative value means never: only Reload reads the file again.
	CheckInterval time.Duration

	// Logger gets a warning when a changed file cannot be used, and an info record when a changed
	// file is in use. Default slog.Default().
	Logger *slog.Logger
}

// Locator is a [sessiontrack.Locator] that reads one database file. It is safe for concurrent use.
// It has no open file and no goroutine, so it needs no Close.
//
// The first lookup after CheckInterval notices a changed file. A lookup at least two seconds later
// reads the file if it has not changed again. Only that lookup waits, about a second for the
// largest databases, and both databases are in memory meanwhile. A file that is missing, truncated,
// damaged or of another type is reported once, and the old database stays in use.
type Locator struct {
	path     string
	language func(geoip2.Names) string
	every    time.Duration
	logger   *slog.Logger

	database atomic.Pointer[geoip2.Reader]

	started   time.Time    // zero of nextCheck, on the monotonic clock
	nextCheck atomic.Int64 // nanoseconds since started; negative means never

	mu       sync.Mutex  // held while the file is checked; guards the fields below
	current  os.FileInfo // the file that database was read from
	refused  os.FileInfo // the unusable file, so that it is read only once
	changing os.FileInfo // the changed file at the last check
	reported string      // the last warning, so that it is logged only once
}

var _ sessiontrack.Locator = (*Locator)(nil)

// Open reads and verifies the database at path, which takes about 20 ms per megabyte. It fails if
// the file cannot be read, is damaged, or is neither a city nor a country database. For a wrong
// option the error names the option. opts may be nil.
func Open(path string, opts *Options) (*Locator, error) {
	if opts == nil {
		opts = &Options{}
	}
	language, ok := languages[opts.Language]
	if !ok {
		return nil, fmt.Errorf("geoip: Options.Language is %q: want en, de, es, fr, ja, pt-BR, ru or zh-CN", opts.Language)
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

// Locate returns the location of addr. It returns the zero Location and no error if the database
// does not know the address. The same holds for an address without a location: private, shared,
// loopback, link-local, multicast, unspecified, or the zero Addr. Names have at most 100 bytes, are
// valid UTF-8 and contain no control and formatting characters.
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

// Reload reads the file now, even if it has not changed. If the file cannot be used, the error says
// why and the old database stays in use. It is for hosts that know when the file is complete, by a
// signal or their own download.
func (l *Locator) Reload() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.scheduleCheck(l.every)
	return l.load()
}

// BuildTime returns when the maker built the database in use. A host can watch its age.
func (l *Locator) BuildTime() time.Time {
	return l.database.Load().Metadata().BuildTime().UTC()
}

// checkFile checks the file if the interval has passed. One lookup does it, and the others use the
// present database.
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

// load reads the file and puts it in use if it is valid. The caller holds mu.
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

// report logs a warning unless the last warning was the same. The caller holds mu.
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

// location converts a record. A country database leaves region and city empty. A record lists
// subdivisions from largest to smallest; the region is the first.
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
