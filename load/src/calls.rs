//! What is asked, by what it is about. Each function makes one request from the world and from chance.

pub mod boards;
pub mod deployments;
pub mod logs;
pub mod people;
pub mod vehicles;

use crate::call::Call;
use crate::chance::Chance;
use crate::world::World;

/// Makes a request.
pub type Make = fn(&World, &mut Chance) -> Call;
