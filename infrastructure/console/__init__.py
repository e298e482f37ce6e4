"""What the console of a running server looks at, and the long work that it starts."""
