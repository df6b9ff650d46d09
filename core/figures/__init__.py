"""Pictures of results: a result goes in, a `Chart` comes out, and two renderers draw it on a screen and on paper."""
