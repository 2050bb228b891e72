"""The words of the product as frozen dataclasses and enums; standard library only."""
