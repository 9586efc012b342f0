//! A slab whose keys carry a generation, so that what names a slot's last tenant never reaches the next one.

/// Which slot, in which of its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Index of the slot.
    pub slot: u32,
    /// How many tenants it had before.
    pub generation: u32,
}

impl Key {
    /// As the 64 bits that a poller keeps.
    pub fn pack(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }
    /// Back from [`Key::pack`].
    pub fn unpack(bits: u64) -> Self {
        Self { slot: bits as u32, generation: (bits >> 32) as u32 }
    }
}

struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// Values under keys that are never reused.
pub struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: vec![], free: vec![] }
    }
}

impl<T> Slab<T> {
    /// Put a value in.
    pub fn insert(&mut self, value: T) -> Key {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, value: None });
            self.slots.len() as u32 - 1
        });
        let entry = &mut self.slots[slot as usize];
        entry.value = Some(value);
        Key { slot, generation: entry.generation }
    }

    /// The key of a slot that is in use.
    pub fn key(&self, slot: u32) -> Option<Key> {
        let entry = self.slots.get(slot as usize)?;
        entry.value.as_ref().map(|_| Key { slot, generation: entry.generation })
    }

    /// Look at a value.
    pub fn get(&self, key: Key) -> Option<&T> {
        let entry = self.slots.get(key.slot as usize)?;
        if entry.generation == key.generation { entry.value.as_ref() } else { None }
    }

    /// Change a value.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.slots.get_mut(key.slot as usize)?;
        if entry.generation == key.generation { entry.value.as_mut() } else { None }
    }

    /// Take a value out; its key is dead from now on.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let entry = self.slots.get_mut(key.slot as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(key.slot);
        Some(value)
    }

    /// Values in it.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Slots, in use or not.
    pub fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every value with its key.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots.iter().enumerate().filter_map(|(slot, s)| {
            let value = s.value.as_ref()?;
            Some((Key { slot: slot as u32, generation: s.generation }, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_reaches_the_next_tenant_of_its_slot() {
        let mut slab = Slab::default();
        let first = slab.insert("a");
        assert_eq!(slab.remove(first), Some("a"));
        let second = slab.insert("b");
        assert_eq!(first.slot, second.slot);
        assert_eq!((slab.get(first), slab.get(second)), (None, Some(&"b")));
        assert_eq!(Key::unpack(second.pack()), second);
        assert_eq!((slab.remove(first), slab.len()), (None, 1));
    }
}
