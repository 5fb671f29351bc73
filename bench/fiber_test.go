package bench

import (
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/session"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

// fiberCaller returns a function that sends one request through gofiber's in-memory sessions. It
// calls Get and Save, because Save is how gofiber records activity.
func fiberCaller(t testing.TB) func() {
	t.Helper()
	store := session.New()
	app := fiber.New(fiber.Config{DisableStartupMessage: true})
	seen, first := "", true
	app.Use(func(c *fiber.Ctx) error {
		s, err := store.Get(c)
		if err != nil {
			return err
		}
		if first {
			s.Set("user", user)
		}
		seen, _ = s.Get("user").(string)
		if err := s.Save(); err != nil {
			return err
		}
		return c.Next()
	})
	app.Get("/", func(c *fiber.Ctx) error { c.Status(fiber.StatusNoContent); return nil })
	handler, ctx := app.Handler(), &fasthttp.RequestCtx{}
	ctx.Request.Header.SetMethod(fiber.MethodGet)
	ctx.Request.SetRequestURI("/")
	handler(ctx)
	var cookie fasthttp.Cookie
	cookie.SetKey("session_id")
	require.True(t, ctx.Response.Header.Cookie(&cookie), "gofiber must set its cookie")
	ctx.Request.Header.SetCookieBytesKV(cookie.Key(), cookie.Value())
	call := func() {
		ctx.Response.Reset()
		ctx.ResetUserValues()
		handler(ctx)
	}
	first, seen = false, ""
	call()
	require.Equal(t, user, seen, "gofiber must know the user")
	return call
}
