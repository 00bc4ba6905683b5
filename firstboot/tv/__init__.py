"""The TV: pictures drawn with Pango and Cairo into the framebuffer, keys and mouse read from evdev."""
